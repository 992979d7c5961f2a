"""The model server, called by Triton's own client, which `make inference_servers` installs."""

import json
import subprocess
from pathlib import Path

import pytest

from moon_vision_challenge.model_server.tests.conftest import DEADLINE_S, Server
from native.environment import ROOT

pytestmark = pytest.mark.e2e

PYTHON = ROOT / ".run" / "inference-servers" / "triton_client" / "bin" / "python"


def test_tritons_client_gets_what_it_asks_for(server: Server) -> None:
    if not PYTHON.exists():
        pytest.skip("tritonclient is not installed: make inference_servers")
    program = Path(__file__).with_name("triton_client.py")
    done = subprocess.run(
        [PYTHON, program, server.url.removeprefix("http://")],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    tensors = {"datatype": "FP32", "shape": [-1, 2]}
    assert json.loads(done.stdout) == {
        "live": True,
        "ready": False,  # some of the models are broken
        "models": [True, True, False, False],
        "extensions": ["binary_tensor_data"],
        "metadata": {
            "name": "half",
            "versions": ["1", "2", "10"],
            "platform": "moon_vision_challenge",
            "inputs": [{"name": "x", **tensors}],
            "outputs": [{"name": "y", **tensors}],
        },
        "pixels": [True] * 8,
        "texts": [["é", "", "abc"]] * 2,
        "sum": [[4, 2**60 + 4], [1, 2**60], "7"],
        "versions": ["10", "1", "2"],
        "failures": ["400", "404", "404"],
    }
