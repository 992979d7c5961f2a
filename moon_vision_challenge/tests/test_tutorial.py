"""The tutorial, followed step by step: its model is built, served, and asked."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pybase64
import pytest

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.model_server.tests.conftest import Server, start_server
from moon_vision_challenge.tests.commands import assert_as_shown, curl, restart_web
from moon_vision_challenge.tests.documents import block, blocks
from native.environment import ROOT

PAGE = "docs/tutorial.md"
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The model server with what steps 3 and 4 make."""
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
    first_command, last_command = blocks(PAGE, "sh")
    first_answer, last_answer = blocks(PAGE, "json")
    assert_as_shown(curl(first_command, service), first_answer, service)
    app = tmp_path / "colours"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "classificators.py").write_text(block(PAGE, "python", "ColoursClassificator"))
    environment = {
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "DJANGO_EXTRA_APPS": "colours",
        "TF_SERVING_URL": server.url,
    }
    restart_web(service, environment)
    assert_as_shown(curl(last_command, service), last_answer, service)
