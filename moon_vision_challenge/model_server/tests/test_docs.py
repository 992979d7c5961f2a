"""What docs/models.md shows is executed, and its model served."""

import base64
import contextlib
import re
from pathlib import Path

import numpy as np

from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_server.tests.conftest import models_config, start_server

TEXT = (Path(__file__).parents[3] / "docs" / "models.md").read_text()


def test_the_colour_classifier_is_built_and_tells_colours_from_raw_pixels(tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    with contextlib.chdir(tmp_path):
        exec(compile(script, "docs/models.md", "exec"), {})  # noqa: S102
    (tmp_path / "models.config").write_text(models_config("colours"))
    server = start_server(tmp_path)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    images = [np.full((32, 32, 3), colour, np.uint8).tobytes() for colour in colours]
    instances = [{"b64": base64.b64encode(image).decode()} for image in images]
    answer = server.predict("colours", {"signature_name": "raw", "instances": instances}).json()["predictions"]
    assert np.argmax(answer, axis=1).tolist() == [0, 1, 2, 3]
    assert server.stop() == 0


def test_the_config_shown_is_one_that_the_server_reads() -> None:
    block = re.search(r"(?:^    .*\n)+", TEXT, re.MULTILINE)
    assert block is not None
    [model] = parse_models_config(block[0])
    assert model.name == "flowers"
