"""The programs in docs/api.md that need a worker, or Node.js."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.tests.documents import BASE_URL, block, blocks
from native.environment import ROOT

PAGE = "docs/api.md"
pytestmark = pytest.mark.django_db(transaction=True)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout


def script(service: Service, tmp_path: Path, containing: str) -> str:
    file = tmp_path / "example.mjs"
    file.write_text(block(PAGE, "js", containing).replace(BASE_URL, service.url))
    return str(file)


def test_every_program_in_javascript_is_executed() -> None:
    assert len(blocks(PAGE, "js")) == 2


@pytest.mark.e2e
def test_the_python_client_of_v1_prints_the_label(service: Service) -> None:
    service.start("worker")
    code = block(PAGE, "python", "Idempotency-Key").replace(BASE_URL, service.url)
    assert run(sys.executable, "-c", code) == "done espresso\n"


@needs_node
def test_the_javascript_client_of_v0_prints_the_label(service: Service, tmp_path: Path) -> None:
    assert run(shutil.which("node") or "", script(service, tmp_path, "image/jpeg")) == "espresso\n"


@pytest.mark.e2e
@needs_node
def test_the_javascript_client_of_v1_prints_the_label(service: Service, tmp_path: Path) -> None:
    service.start("worker")
    assert run(shutil.which("node") or "", script(service, tmp_path, "Idempotency-Key")) == "done espresso\n"
