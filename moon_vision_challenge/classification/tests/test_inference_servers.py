"""The service in front of third-party servers of the Open Inference Protocol: `make inference_servers`."""

import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from moon_vision_challenge.classification import prediction
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelNotAvailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.tests.adding import PHOTOS
from native.environment import ROOT, free_port
from native.process import poll

pytestmark = pytest.mark.e2e

MODEL = ROOT / "models" / "efficientnet_lite0" / "1" / "model.onnx"
VERSIONS = {"triton": [1], "mlserver": [], "kserve": []}
"""The numbered versions of each server."""


class Net(ServedModelClassificator):
    model_type = "net"
    labels = IMAGENET_LABELS


def is_ready(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{url}/v2/models/net/ready", timeout=5).status_code == 200
    return False


@contextmanager
def running(name: str, log: Path) -> Iterator[str]:
    """Run a server, and yield its URL."""
    python = ROOT / ".run" / "inference-servers" / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{name} is not installed: make inference_servers")
    port = free_port()
    program = Path(__file__).parent / "inference_servers" / f"serve_{name}.py"
    library = sysconfig.get_config_var("LIBDIR")  # Triton's backend links to Python's library
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, program, str(port), str(MODEL)],
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "LD_LIBRARY_PATH": library, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        assert poll(lambda: process.poll() is not None or is_ready(url), 600), log.read_text()
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The name and the URL of a server."""
    with running(request.param, tmp_path / "server.log") as url:
        yield request.param, url


def test_it_gives_the_same_labels_and_scores_as_our_model_server(server: tuple[str, str]) -> None:
    name, url = server
    net = Net()
    net.model_url = f"{url}/v2/models/net/infer"
    ours = dispatcher["efficientnet_lite0"].classify(PHOTOS, top_k=5)
    assert net.classify(PHOTOS, top_k=5) == ours
    assert net.predict(PHOTOS[0]) == "espresso"

    status = metadata.statuses[net.model_url]
    assert status.serves(None)
    assert [one.version for one in status.versions or []] == VERSIONS[name]
    _, version = prediction.classify_and_tell_version(net, PHOTOS[:1], version=prediction.NEWEST, top_k=1)
    assert version == status.newest

    for choice in (VersionChoice(9), VersionChoice(label="stable")):
        with pytest.raises(ClassificationError) as caught:
            prediction.classify(net, PHOTOS[:1], version=choice)
        expected = UnknownVersionLabelError if choice.label else ModelVersionNotAvailableError
        assert type(caught.value) is (VersionNotSelectableError if name == "kserve" else expected)

    net.model_url = f"{url}/v2/models/nothing/infer"
    with pytest.raises(ModelNotAvailableError, match="nothing") as absent:
        prediction.classify(net, PHOTOS[:1])
    assert absent.value.retry_after_s == 60
    assert metadata.statuses[net.model_url].versions == []
