"""What docs/models.md shows is executed, and its model served."""

import base64
import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_server.tests.conftest import models_config, start_server

TEXT = (Path(__file__).parents[3] / "docs" / "models.md").read_text()


SCRIPTS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
IMAGES = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in COLOURS])


def run(script: str, folder: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(script, "docs/models.md", "exec"), names)  # noqa: S102
    (folder / "models.config").write_text(models_config("colours"))
    return names


def test_the_colour_classifier_is_built_and_tells_colours_from_raw_pixels(tmp_path: Path) -> None:
    run(SCRIPTS[0], tmp_path)
    server = start_server(tmp_path)
    instances = [{"b64": base64.b64encode(image.tobytes()).decode()} for image in IMAGES]
    answer = server.predict("colours", {"signature_name": "raw", "instances": instances}).json()["predictions"]
    assert np.argmax(answer, axis=1).tolist() == [0, 1, 2, 3]
    assert server.stop() == 0


def test_the_keras_model_is_served_as_it_was_exported(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make test_tf")
    model = run(SCRIPTS[1], tmp_path)["model"]
    server = start_server(tmp_path, deadline_s=180)
    answer = server.predict("colours", {"instances": IMAGES.tolist()}).json()["predictions"]
    np.testing.assert_allclose(answer, model(IMAGES).numpy(), rtol=1e-5)
    assert server.stop() == 0


def test_the_config_shown_is_one_that_the_server_reads() -> None:
    block = re.search(r"(?:^    .*\n)+", TEXT, re.MULTILINE)
    assert block is not None
    [model] = parse_models_config(block[0])
    assert model.name == "flowers"
