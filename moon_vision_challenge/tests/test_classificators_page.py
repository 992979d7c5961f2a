"""The classes and models in docs/classificators.md work."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.classification import dispatchers
from moon_vision_challenge.classification.abstract_classificator import Classification, Prediction
from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.tests.fake_model_server import has_signatures, replies
from moon_vision_challenge.classification.tests.pictures import gradient
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_server.tests.conftest import models_config, start_server
from moon_vision_challenge.tests.documents import block

PAGE = "docs/classificators.md"


@pytest.fixture
def dispatcher(monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
    """A separate dispatcher, so that classes registered here do not affect other tests."""
    own = Dispatcher()
    monkeypatch.setattr(dispatchers, "dispatcher", own)
    return own


def run(containing: str, **names: Any) -> dict[str, Any]:
    exec(compile(block(PAGE, "python", containing), PAGE, "exec"), names)
    return names


def test_the_class_without_code_answers(start_fake: StartFake, tmp_path: Path, dispatcher: Dispatcher) -> None:
    (tmp_path / "flowers.txt").write_text("daisy\ntulip\n")
    run("FlowerClassificator", __file__=str(tmp_path / "classificators.py"))
    signature = ({"x": ("DT_FLOAT", -1, 224, 224, 3)}, {"y": ("DT_FLOAT", -1, 2)})
    start_fake(replies(200, {"predictions": [[0.2, 0.8]]})).metadata = has_signatures(serving_default=signature)
    assert dispatcher["flowers"].predict(gradient()) == "tulip"


def test_the_class_with_code_answers_a_batch_with_scores(start_fake: StartFake, dispatcher: Dispatcher) -> None:
    run("DigitClassificator", __name__=__name__)
    rows = [[0.0] * 7 + [0.6, 0.4, 0.0], [0.1, 0.9] + [0.0] * 8]
    server = start_fake(replies(200, {"predictions": rows}))
    assert dispatcher["digits"].classify([gradient(), gradient()], top_k=2) == [
        Classification("7", [Prediction("7", 0.6, 7), Prediction("8", 0.4, 8)]),
        Classification("1", [Prediction("1", 0.9, 1), Prediction("0", 0.1, 0)]),
    ]
    ((_, body),) = server.requests
    assert np.shape(body["instances"]) == (2, 28, 28)


def test_the_config_is_one_that_the_model_server_reads() -> None:
    (model,) = parse_models_config(block(PAGE, "protobuf"))
    assert model.name == "flowers"


def test_the_keras_model_is_served_as_it_was_exported(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make test_tf")
    with contextlib.chdir(tmp_path):
        model = run("keras.Sequential")["model"]
    (tmp_path / "models.config").write_text(models_config("colours"))
    server = start_server(tmp_path, deadline_s=180)
    images = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (0, 80, 160, 255)])
    answer = server.predict("colours", {"instances": images.tolist()}).json()["predictions"]
    np.testing.assert_allclose(answer, model(images).numpy(), rtol=1e-5)
    assert server.stop() == 0
