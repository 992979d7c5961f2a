"""The tutorial, followed step by step: its model is built, served, and called."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pybase64
import pytest
import requests

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.model_server.tests.conftest import Server, start_server
from moon_vision_challenge.tests.commands import assert_as_shown, curl, restart_web
from moon_vision_challenge.tests.documents import BASE_URL, block, blocks
from native.environment import ROOT, free_port

PAGE = "docs/tutorial.md"
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The model server with the results of steps 3 and 4."""
    with contextlib.chdir(tmp_path):
        exec(compile(block(PAGE, "python", "onnx.save"), PAGE, "exec"), {})
    entry = block(PAGE, "protobuf").replace("/models/", f"{tmp_path}/models/")
    (tmp_path / "models.config").write_text(f"model_config_list {{ {entry} }}")
    server = start_server(tmp_path)
    yield server
    assert server.stop() == 0


def test_the_model_tells_colors_from_raw_pixels(server: Server) -> None:
    images = [np.full((32, 32, 3), colour, np.uint8).tobytes() for colour in COLOURS]
    instances = [{"b64": pybase64.b64encode_as_string(image)} for image in images]
    answer = server.predict("colours", {"signature_name": "raw", "instances": instances}).json()["predictions"]
    assert np.argmax(answer, axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_the_commands_answer_what_is_shown(service: Service, server: Server, tmp_path: Path) -> None:
    first_command, last_command = blocks(PAGE, "sh", "curl ")
    first_answer, last_answer = blocks(PAGE, "json")
    assert_as_shown(curl(first_command, service), first_answer, service)
    serve_the_app(service, server, tmp_path)
    assert_as_shown(curl(last_command, service), last_answer, service)


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_a_folder_is_classified_over_https(service: Service, server: Server, tmp_path: Path) -> None:
    serve_the_app(service, server, tmp_path, DJANGO_NUM_PROXIES="1")
    port = free_port()
    moved = {
        ".venv/bin/": f"{ROOT}/.venv/bin/",
        "./client": f"{ROOT}/client",
        " samples ": f" {ROOT}/samples ",
        BASE_URL: service.url,
        "8443": str(port),
    }

    def here(text: str) -> str:
        for shown, real in moved.items():
            text = text.replace(shown, real)
        return text

    make, front, classify, show = (here(text) for text in blocks(PAGE, "sh") if not text.startswith("curl"))
    shell(make, tmp_path)
    (tmp_path / "https" / "routes.yml").write_text(here(block(PAGE, "yaml")))
    with subprocess.Popen(["bash", "-c", f"exec {front}"], cwd=tmp_path) as traefik:
        try:
            address = f"https://localhost:{port}"
            certificate = str(tmp_path / "https" / "client.pem")
            wait_for(lambda: is_answered(address, certificate), "Traefik")
            [model] = requests.get(f"{address}/api/v1/models/", verify=certificate, timeout=LIMIT_S).json()[-1:]
            assert model["url"] == f"{address}/api/v1/models/{model['model_type']}/"
            table = shell(f"{classify}\n{show}", tmp_path)
        finally:
            traefik.terminate()
    assert re.search(r"coffee\.jpg.*red", table)


def serve_the_app(service: Service, server: Server, folder: Path, **environment: str) -> None:
    app = folder / "colours"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "classificators.py").write_text(block(PAGE, "python", "ColoursClassificator"))
    ours = {"PYTHONPATH": f"{folder}:{ROOT}", "DJANGO_EXTRA_APPS": "colours", "TF_SERVING_URL": server.url}
    restart_web(service, {**ours, **environment})


def shell(script: str, folder: Path) -> str:
    ran = subprocess.run(
        ["bash", "-ec", script], cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    if "Failed to fetch" in ran.stderr:
        pytest.skip(f"the package index does not answer: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def is_answered(address: str, certificate: str) -> bool:
    try:
        return requests.get(f"{address}/livez", verify=certificate, timeout=LIMIT_S).ok
    except requests.ConnectionError:
        return False
