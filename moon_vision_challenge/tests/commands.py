"""Runs the curl commands that the pages show, on a running service."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.tests.documents import BASE_URL
from native.environment import ROOT

# These fields differ with every request. The rest of an answer must be as shown.
_VARYING = {"id", "image", "created_at"}


def skip_without_curl() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")


def curl(command: str, service: Service, inference_id: int | None = None) -> Any:
    skip_without_curl()
    command = command.replace(BASE_URL, service.url).replace("\\\n", " ")
    if inference_id is not None:
        command = command.replace("/inferences/1/", f"/inferences/{inference_id}/")
    result = subprocess.run(
        [*shlex.split(command), "--silent", "--fail-with-body"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    return json.loads(result.stdout)


def restart_web(service: Service, environment: Mapping[str, str]) -> None:
    """Restart the web server with more environment variables. It need not be ready: its model server can be a fake."""
    service.services.stop("web")
    service.is_altered = True
    service.services.start("web", {**service.environment, **environment})
    service.services.wait_until(lambda: _is_alive(service), "the web server", LIMIT_S)


def _is_alive(service: Service) -> bool:
    try:
        return requests.get(f"{service.url}/livez", timeout=LIMIT_S).ok
    except requests.ConnectionError:
        return False


def assert_as_shown(found: Any, shown: str, service: Service) -> None:
    """Check for the same fields in the same order, with the same values. Scores may differ by 0.1."""
    _compare(found, json.loads(shown.replace(BASE_URL, service.url)))


def _compare(found: Any, shown: Any) -> None:
    if isinstance(shown, dict):
        assert list(found) == list(shown)
        for key in shown.keys() - _VARYING:
            _compare(found[key], shown[key])
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one_found, one_shown in zip(found, shown, strict=True):
            _compare(one_found, one_shown)
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, abs=0.1)
    else:
        assert found == shown
