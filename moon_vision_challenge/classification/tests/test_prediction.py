"""Which version of a model is called, and which one answered."""

from collections.abc import Sequence
from typing import Any

import pytest
import requests
from PIL import Image

from moon_vision_challenge.classification.abstract_classificator import Prediction
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.prediction import (
    NEWEST,
    VersionChoice,
    classify,
    classify_and_tell_version,
)
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import gradient
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.conftest import StartFake

PHOTO = gradient()
GONE = fake.replies(404, {"error": "Servable not found for request: Specific(resnet, 2)"})
NO_LABEL = fake.replies(400, {"error": "Unrecognized servable version label: canary"})


class AsksItself(Complete):
    """A consumer's class that has only three hooks and a URL."""

    model_url = "set by the test"

    def preprocess_input(self, image: Image.Image) -> list[int]:
        return [image.width]

    def process_prediction(self, input_vector: Any) -> dict[str, Any]:
        response = requests.post(self.model_url, json={"instances": input_vector}, timeout=60)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    def decode_predictions(self, pred: dict[str, Any]) -> str:
        return str(pred["predictions"][0])


def paths(server: fake.FakeModelServer) -> list[str]:
    return [path for path, _ in server.requests]


@pytest.mark.parametrize(
    ("version", "path"),
    [
        (NEWEST, "/v1/models/resnet:predict"),
        (VersionChoice(0), "/v1/models/resnet/versions/0:predict"),
        (VersionChoice(7), "/v1/models/resnet/versions/7:predict"),
        (VersionChoice(label="canary"), "/v1/models/resnet/labels/canary:predict"),
    ],
)
def test_the_chosen_version_is_asked(start_fake: StartFake, version: VersionChoice, path: str) -> None:
    server = start_fake(fake.predicts(281))
    assert classify(dispatcher["resnet"], [PHOTO], version=version)[0].label == "tabby"
    assert paths(server) == [path]
    assert server.asked == [path.replace(":predict", "/metadata")]
    assert dispatcher["resnet"].model_url.endswith("/v1/models/resnet:predict"), "the shared instance is unchanged"


def test_a_class_with_three_hooks_and_a_model_url_accepts_a_version_too(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_fake(fake.replies(200, {"predictions": ["puffin"]}))
    monkeypatch.setattr(AsksItself, "model_url", f"{server.url}/v1/models/birds:predict")
    (found,) = classify(AsksItself(), [PHOTO], version=VersionChoice(3), top_k=5)
    assert found == ("puffin", [Prediction("puffin", score=None, class_id=None)])
    assert paths(server) == ["/v1/models/birds/versions/3:predict"]


def test_a_class_with_three_hooks_is_classified_in_batches_as_well(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_fake(fake.replies(200, {"predictions": ["puffin"]}))
    monkeypatch.setattr(AsksItself, "model_url", server.url)
    found = AsksItself().classify([PHOTO, PHOTO], top_k=5)
    assert found == [("puffin", [("puffin", None, None)])] * 2


def test_a_class_with_its_own_predict_batch_is_asked_by_it() -> None:
    class Own(Complete):
        def predict_batch(self, images: Sequence[Image.Image]) -> list[str]:
            return [f"one of {len(images)}" for _ in images]

    label = "one of 2"
    assert Own().classify([PHOTO, PHOTO], top_k=5) == [(label, [(label, None, None)])] * 2
    assert Own().classify([PHOTO, PHOTO]) == [(label, ())] * 2


@pytest.mark.parametrize(
    "url", ["http://models.example/ask", "http://models.example/v1/models/m/versions/3:predict", property(lambda _: "")]
)
def test_a_url_without_room_for_a_version_is_an_error_of_the_request(url: Any) -> None:
    fixed = type("Fixed", (Complete,), {"model_url": url})
    with pytest.raises(VersionNotSelectableError):
        classify(fixed(), [PHOTO], version=VersionChoice(1))


def test_a_url_that_cannot_be_set_is_an_error_of_the_request() -> None:
    fixed = type("Fixed", (Complete,), {"model_url": property(lambda _: "http://x.example/v1/models/m:predict")})
    with pytest.raises(VersionNotSelectableError):
        classify(fixed(), [PHOTO], version=VersionChoice(1))


def test_a_missing_version_is_distinguished_from_a_missing_model(start_fake: StartFake) -> None:
    server = start_fake(GONE)
    with pytest.raises(ModelVersionNotAvailableError) as caught:
        classify(dispatcher["resnet"], [PHOTO], version=VersionChoice(2))
    assert caught.value.retryable
    server.metadata = GONE
    with pytest.raises(ModelVersionNotAvailableError):
        classify(dispatcher["resnet"], [PHOTO], version=VersionChoice(9))
    with pytest.raises(ModelNotAvailableError) as plain:
        classify(dispatcher["resnet"], [PHOTO])
    assert type(plain.value) is ModelNotAvailableError


def test_an_unknown_label_is_distinguished_from_a_refused_input(start_fake: StartFake) -> None:
    server = start_fake(NO_LABEL)
    server.metadata = NO_LABEL
    with pytest.raises(UnknownVersionLabelError):
        classify(dispatcher["resnet"], [PHOTO], version=VersionChoice(label="canary"))
    server.metadata = fake.replies(400, {"error": "something else"})
    with pytest.raises(InvalidPredictionError):
        classify(dispatcher["resnet"], [PHOTO], version=VersionChoice(label="canary"))


def tell(version: VersionChoice = NEWEST, model_type: str = "resnet") -> int | None:
    found, number = classify_and_tell_version(dispatcher[model_type], [PHOTO], version=version, top_k=5)
    assert found[0].label == found[0].predictions[0].label == "tabby"
    return number


def test_the_newest_available_version_is_found_used_and_shown(start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    server.status = fake.replies(
        200,
        {
            "model_version_status": [
                {"version": "2", "state": "AVAILABLE"},
                {"version": "10", "state": "AVAILABLE"},
                {"version": "11", "state": "LOADING"},
            ]
        },
    )
    assert [tell(), tell()] == [10, 10]
    assert paths(server) == ["/v1/models/resnet/versions/10:predict"] * 2
    assert server.asked.count("/v1/models/resnet") == 1, "the status is kept for a few seconds"


def test_a_version_requested_by_number_is_returned_without_reading_the_status(start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    assert tell(VersionChoice(4)) == 4
    assert server.asked == ["/v1/models/resnet/versions/4/metadata"]


def test_the_version_behind_a_label_is_found_used_and_shown(start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    server.status = fake.has_versions(3)
    assert tell(VersionChoice(label="stable")) == 3
    assert server.asked[0] == "/v1/models/resnet/labels/stable"
    assert paths(server) == ["/v1/models/resnet/versions/3:predict"]


def test_an_unknown_label_is_an_error_without_asking_the_model(start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    server.status = NO_LABEL
    with pytest.raises(UnknownVersionLabelError):
        tell(VersionChoice(label="canary"))
    assert server.requests == []


@pytest.mark.parametrize("version", [NEWEST, VersionChoice(label="stable")])
def test_a_server_that_does_not_report_its_versions_is_still_asked(
    start_fake: StartFake, version: VersionChoice
) -> None:
    start_fake(fake.predicts(281)).status = fake.replies(501, b"")
    assert tell(version) is None


def test_a_version_that_was_replaced_since_the_status_was_read_is_not_a_failure(start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    server.status = fake.has_versions(1)
    assert tell() == 1

    def only_version_2(handler: fake.Handler) -> None:
        (fake.predicts(281) if "/versions/2:" in handler.path else GONE)(handler)

    server.status, server.answer = fake.has_versions(2), only_version_2
    assert tell() == 2


def test_a_version_asked_for_that_is_gone_is_not_exchanged_for_another(start_fake: StartFake) -> None:
    server = start_fake(GONE)
    server.status = fake.has_versions(2)
    with pytest.raises(ModelVersionNotAvailableError):
        tell(VersionChoice(1))
    assert len(server.requests) == 1


def test_a_url_without_room_for_a_version_is_asked_as_it_is(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_fake(fake.replies(200, {"predictions": ["puffin"]}))
    server.status = fake.has_versions(1)
    monkeypatch.setattr(AsksItself, "model_url", f"{server.url}/ask")
    found, number = classify_and_tell_version(AsksItself(), [PHOTO], version=NEWEST, top_k=1)
    assert (found[0].label, number) == ("puffin", None)
    assert paths(server) == ["/ask"]
