import base64

import pytest
from PIL import Image
from pytest_django import Settings

from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import InvalidPredictionError
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import gradient
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration

SIZES = {"resnet": 224, "inception": 299, "efficientnet_lite0": 224}


@pytest.mark.parametrize(("model_type", "size"), SIZES.items())
def test_the_model_gets_the_cropped_raw_pixels(start_fake: StartFake, model_type: str, size: int) -> None:
    server = start_fake(fake.predicts(281))
    assert dispatcher[model_type].predict(gradient()) == IMAGENET_LABELS[281] == "tabby"
    ((path, body),) = server.requests
    assert path == f"/v1/models/{model_type}:predict"
    assert body["signature_name"] == "raw"
    sent = base64.b64decode(body["instances"][0]["b64"])
    assert sent == pixels.fit(gradient(), (size, size), Declaration()).tobytes()
    assert len(sent) == size * size * 3


@pytest.mark.parametrize(
    "predictions",
    [
        *([], [[]], [None], [-1], [1000], [True], [0.5], [["a", 1]], [[0.1] * 999], [[0.1] * 1002], [[[0.1]] * 1000]),
        *([[0.1] * 1000] * 2, {}, None, [{}], [{"x": 1}], [{"probabilities": "x" * 1000, "classes": None}, 1]),
    ],
)
def test_an_answer_without_a_prediction_is_an_error(start_fake: StartFake, predictions: object) -> None:
    start_fake(fake.replies(200, {"predictions": predictions}))
    with pytest.raises(InvalidPredictionError):
        dispatcher["resnet"].predict(gradient())


def test_the_column_format_which_was_not_asked_for_is_an_error(start_fake: StartFake) -> None:
    start_fake(fake.replies(200, {"outputs": [[0.1] * 1000]}))
    with pytest.raises(InvalidPredictionError):
        dispatcher["resnet"].predict(gradient())


def test_a_class_without_a_url_asks_the_configured_model_server(settings: Settings) -> None:
    settings.TF_SERVING_URL = "http://models.example:8501"
    assert Complete().model_url == "http://models.example:8501/v1/models/complete:predict"


def test_a_class_may_name_its_own_url() -> None:
    elsewhere = type("Elsewhere", (Complete,), {"model_url": "http://elsewhere.example/v1/models/m:predict"})
    assert elsewhere().model_url == "http://elsewhere.example/v1/models/m:predict"


def test_a_batch_is_classified_one_by_one_unless_a_class_knows_better() -> None:
    class Width(Complete):
        def preprocess_input(self, image: Image.Image) -> int:
            return image.width

    assert Width().predict_batch([Image.new("RGB", (3, 1)), Image.new("RGB", (5, 1))]) == ["3", "5"]


def test_an_incomplete_class_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Classificator()  # type: ignore[abstract]  # the point of this test
