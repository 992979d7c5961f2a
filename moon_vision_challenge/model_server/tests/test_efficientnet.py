"""End to end with the real model: the REST API returns what onnxruntime returns for the same pixels."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from moon_vision_challenge.model_server.tests.conftest import models_config, start_server
from moon_vision_challenge.model_zoo.build import build_model


@pytest.mark.parametrize("batch", [1, 3])
def test_probabilities_are_those_of_onnxruntime_to_the_last_bit(tmp_path: Path, batch: int) -> None:
    build_model("efficientnet_lite0", tmp_path / "models")
    (tmp_path / "models.config").write_text(models_config("efficientnet_lite0"))
    # Smooth pictures, each of another colour: noise alone gets the same answer from every model.
    ramp = np.linspace(0, 255, 224)
    images = np.stack(
        [
            np.stack(
                [ramp[None] * np.ones((224, 1)), ramp[:, None] * np.ones(224), np.full((224, 224), 80.0 * i)], axis=2
            )
            for i in range(batch)
        ]
    )
    images = images.astype(np.uint8)
    server = start_server(tmp_path)
    instances = [{"b64": base64.b64encode(image.tobytes()).decode()} for image in images]
    answer = server.predict("efficientnet_lite0", {"signature_name": "raw", "instances": instances}).json()[
        "predictions"
    ]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "models/efficientnet_lite0/1/model.onnx", options)
    [expected] = session.run(None, {"images": images})
    np.testing.assert_array_equal(np.array(answer, np.float32), expected)
    assert server.stop() == 0


def test_onnxruntime_reports_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = "import moon_vision_challenge.model_server.onnx_runtime"
    subprocess.run([sys.executable, "-c", script], env=environment, timeout=600, check=True)
    assert list(tmp_path.iterdir()) == []
