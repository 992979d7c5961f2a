"""A model's metadata decides what the model is sent. The shape of its reply decides how the reply is read."""

import base64
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.JpegImagePlugin import JpegImageFile

from moon_vision_challenge.classification.abstract_classificator import Prediction
from moon_vision_challenge.classification.dispatchers import Dispatcher, dispatcher
from moon_vision_challenge.classification.exceptions import InvalidPredictionError, ModelNotAvailableError
from moon_vision_challenge.classification.labels import IMAGENET_LABELS, read_labels
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import gradient
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration

BOTH = ["resnet", "inception"]
PROBABILITIES = {"classes": ("DT_INT64", -1), "probabilities": ("DT_FLOAT", -1, 1001)}
RAW = ({"images": "DT_STRING"}, {"probabilities": ("DT_FLOAT", -1, 1000)})
ENCODED = ({"image_bytes": "DT_STRING"}, PROBABILITIES)
PREDICT_IMAGES = ({"images": "DT_STRING"}, {"classes": ("DT_STRING", -1, 5), "scores": ("DT_FLOAT", -1, 5)})
PHOTO = gradient(400, 300)


class Tiny(ServedModelClassificator):
    model_type = "tiny"
    input_size = 4
    labels = ("cat", "dog", "fish")


def start(start_fake: StartFake, row: Any, **signatures: Any) -> fake.FakeModelServer:
    """Start a server of a model with these signatures. It answers each instance with this row."""

    def answer(handler: fake.Handler) -> None:
        fake.replies(200, {"predictions": [row] * len(handler.server.requests[-1][1]["instances"])})(handler)

    server = start_fake(answer)
    server.metadata = fake.has_signatures(**signatures)
    return server


def jpeg_of(server: fake.FakeModelServer) -> JpegImageFile:
    return JpegImageFile(io.BytesIO(base64.b64decode(server.requests[-1][1]["instances"][0]["b64"])))


@pytest.mark.parametrize("model_type", BOTH)
def test_a_model_with_raw_gets_raw_pixels_regardless_of_its_other_signatures(
    start_fake: StartFake, model_type: str
) -> None:
    server = start(start_fake, [0.1] * 999 + [0.9], serving_default=ENCODED, raw=RAW, predict_images=PREDICT_IMAGES)
    assert dispatcher[model_type].predict(PHOTO) == IMAGENET_LABELS[999]
    assert server.requests[0][1]["signature_name"] == "raw"


@pytest.mark.parametrize(("model_type", "side"), [("resnet", 256), ("inception", 342)])
def test_a_model_of_encoded_images_gets_a_jpeg_with_the_margin_that_its_graph_cuts_off(
    start_fake: StartFake, model_type: str, side: int
) -> None:
    scores = [0.0001] * 1001
    scores[287] = 0.9
    server = start(start_fake, {"classes": 287, "probabilities": scores}, serving_default=ENCODED)
    assert dispatcher[model_type].predict(PHOTO) == IMAGENET_LABELS[286]
    assert "signature_name" not in server.requests[0][1]
    image = jpeg_of(server)
    assert (image.format, image.size) == ("JPEG", (side, side))
    assert image.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # 4:4:4
    whole = pixels.fit(PHOTO, (side, side), Declaration(crop=1.0))
    sent, crop = (np.asarray(one, np.float32) for one in (image, whole))
    assert np.abs(sent - crop).mean() < 1
    quality_95 = io.BytesIO()
    image.save(quality_95, "JPEG", quality=95)
    quality_95.seek(0)
    assert image.quantization == JpegImageFile(quality_95).quantization


@pytest.mark.parametrize("model_type", BOTH)
def test_predict_images_answers_with_labels_and_scores(start_fake: StartFake, model_type: str) -> None:
    row = {"classes": ["tabby", "tiger_cat", "a class of its own"], "scores": [0.8, 0.1, 0.05]}
    server = start(start_fake, row, serving_default=({"inputs": "DT_STRING"}, {}), predict_images=PREDICT_IMAGES)
    (found,) = dispatcher[model_type].classify([PHOTO], top_k=3)
    assert found.label == "tabby"
    assert found.predictions == [
        Prediction("tabby", 0.8, 281),
        Prediction("tiger_cat", 0.1, 282),
        Prediction("a class of its own", 0.05, None),
    ]
    assert server.requests[0][1]["signature_name"] == "predict_images"
    assert jpeg_of(server).format == "JPEG"


def test_the_metadata_are_read_once_not_per_request(start_fake: StartFake) -> None:
    server = start(start_fake, [0.1, 0.2, 0.7], raw=RAW)
    for _ in range(5):
        assert Tiny().predict(PHOTO) == "fish"
    assert server.asked == ["/v1/models/tiny/metadata"]


def test_the_metadata_are_read_again_after_some_minutes(start_fake: StartFake, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    server = start(start_fake, [0.1, 0.2, 0.7], raw=RAW)
    Tiny().predict(PHOTO)
    now += metadata.SIGNATURES_TTL_S + 1
    Tiny().predict(PHOTO)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "error", "times"), [(400, InvalidPredictionError, 3), (404, ModelNotAvailableError, 2)]
)
def test_a_refused_request_lets_the_metadata_be_read_again(
    start_fake: StartFake, status: int, error: type[Exception], times: int
) -> None:
    server = start_fake(fake.replies(status, {"error": "no"}))
    for _ in range(2):
        with pytest.raises(error):
            Tiny().predict(PHOTO)
    assert len(server.asked) == times  # after a 400, the metadata is read at once to check the form


def test_a_model_that_was_exchanged_for_one_of_another_form_is_tried_again(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(400, {"error": 'signature "raw" not found'}))
    classificator = Tiny()
    assert classificator.wire_form.signature_name == "raw"
    server.metadata = fake.has_signatures(serving_default=ENCODED)
    with pytest.raises(ModelNotAvailableError) as caught:
        classificator.predict(PHOTO)
    assert caught.value.retryable
    server.answer = fake.replies(200, {"predictions": [{"classes": 1}]})
    assert classificator.predict(PHOTO) == "dog"


@pytest.mark.parametrize(
    "metadata",
    [
        fake.replies(200, {}),
        fake.replies(200, {"metadata": {"signature_def": {"signature_def": {"raw": {"method_name": 3, "inputs": 4}}}}}),
        fake.replies(200, {"metadata": {"signature_def": []}}),
        fake.has_signatures(),
        fake.has_signatures(two_inputs=({"a": "DT_STRING", "b": "DT_STRING"}, {})),
        fake.has_signatures(a_vector=({"a": ("DT_FLOAT", -1, 7)}, {})),
    ],
)
def test_a_model_that_takes_no_image_gives_no_usable_answer(start_fake: StartFake, metadata: fake.Answer) -> None:
    start_fake(fake.predicts(1)).metadata = metadata
    with pytest.raises(InvalidPredictionError):
        Tiny().predict(PHOTO)


@pytest.mark.parametrize(
    ("dtype", "mean", "scale"),
    [("DT_FLOAT", 0.0, 1.0), ("DT_FLOAT", 127.5, 127.5), ("DT_FLOAT", (1.0, 2.0, 3.0), (2.0, 4.0, 8.0))],
)
@pytest.mark.parametrize("channels_first", [False, True])
def test_a_model_of_numbers_gets_the_normalised_pixels(
    start_fake: StartFake, dtype: str, mean: Any, scale: Any, channels_first: bool
) -> None:
    shape = (-1, 3, 4, 4) if channels_first else (-1, 4, 4, 3)
    server = start(start_fake, [0.1, 0.2, 0.7], serving_default=({"x": (dtype, *shape)}, {"y": ("DT_FLOAT", -1, 3)}))
    normalised = type("Normalised", (Tiny,), {"mean": mean, "scale": scale})
    assert normalised().predict(PHOTO) == "fish"
    sent = np.array(server.requests[0][1]["instances"][0], np.float32)
    wanted = (np.asarray(pixels.fit(PHOTO, (4, 4), Declaration()), np.float32) - np.float32(mean)) / np.float32(scale)
    np.testing.assert_allclose(sent.transpose(1, 2, 0) if channels_first else sent, wanted, rtol=1e-6)


def test_a_model_of_integers_gets_the_pixels_as_they_are(start_fake: StartFake) -> None:
    server = start(start_fake, 2, serving_default=({"x": ("DT_UINT8", -1, 4, 4, 3)}, {"y": ("DT_INT64", -1)}))
    assert Tiny().predict(PHOTO) == "fish"
    assert server.requests[0][1]["instances"][0] == np.asarray(pixels.fit(PHOTO, (4, 4), Declaration())).tolist()


@pytest.mark.parametrize(
    ("row", "predictions"),
    [
        ([0.2, 0.5, 0.3], [("dog", 0.5, 1), ("fish", 0.3, 2), ("cat", 0.2, 0)]),
        ([0.4, 0.4, 0.2], [("cat", 0.4, 0), ("dog", 0.4, 1), ("fish", 0.2, 2)]),
        ([0.9, 0.2, 0.5, 0.3], [("dog", 0.5, 1), ("fish", 0.3, 2), ("cat", 0.2, 0)]),
        ({"classes": 2, "probabilities": [0.2, 0.3, 0.5]}, [("fish", 0.5, 2), ("dog", 0.3, 1), ("cat", 0.2, 0)]),
        ({"classes": 2}, [("fish", None, 2)]),
        (0, [("cat", None, 0)]),
        ("dog", [("dog", None, 1)]),
        (["dog", "wolf"], [("dog", None, 1), ("wolf", None, None)]),
        ({"classes": "dog"}, [("dog", None, 1)]),
    ],
    ids=["scores", "a tie", "background", "both", "index", "bare index", "label", "labels", "one label"],
)
def test_every_form_of_reply_is_read(start_fake: StartFake, row: Any, predictions: Any) -> None:
    start(start_fake, row, raw=RAW)
    (found,) = Tiny().classify([PHOTO], top_k=3)
    assert found.predictions == predictions
    assert found.label == predictions[0][0] == Tiny().predict(PHOTO)


@pytest.mark.parametrize(("index", "label"), [(0, "background"), (1, "cat"), (3, "fish")])
def test_indices_may_be_counted_from_a_background(start_fake: StartFake, index: int, label: str) -> None:
    start(start_fake, {"classes": index}, raw=RAW)
    assert type("Counted", (Tiny,), {"has_background": True})().predict(PHOTO) == label


@pytest.mark.parametrize("row", [["a", 1, 2], [None] * 3, [[0.1]] * 3, [[0.1], [0.2, 0.3], [0.4]], [0.1, "b", 0.2]])
@pytest.mark.parametrize("top_k", [0, 5])
def test_scores_that_are_no_numbers_are_no_usable_answer(start_fake: StartFake, row: Any, top_k: int) -> None:
    start(start_fake, row, raw=RAW)
    with pytest.raises(InvalidPredictionError):
        Tiny().classify([PHOTO], top_k=top_k)


def test_a_batch_is_one_request_and_keeps_its_order(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(200, {"predictions": [[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]]}))
    found = Tiny().classify([PHOTO, PHOTO], top_k=1)
    assert [(one.label, one.predictions) for one in found] == [("fish", [("fish", 0.7, 2)]), ("cat", [("cat", 0.9, 0)])]
    assert Tiny().predict_batch([PHOTO, PHOTO]) == ["fish", "cat"]
    assert len(server.requests) == 2


def test_the_best_classes_are_those_that_sorting_all_would_give(start_fake: StartFake) -> None:
    scores = np.random.default_rng(7).random(1000).tolist()
    start(start_fake, scores, raw=RAW)
    (found,) = dispatcher["resnet"].classify([PHOTO], top_k=100)
    assert [one.score for one in found.predictions] == sorted(scores, reverse=True)[:100]
    assert all(IMAGENET_LABELS[one.class_id] == one.label for one in found.predictions if one.class_id is not None)


def test_a_usual_model_is_registered_in_five_lines(start_fake: StartFake, tmp_path: Path) -> None:
    (tmp_path / "flowers.txt").write_text("daisy\ntulip\n")
    own = Dispatcher()

    @own.register
    class FlowerClassificator(ServedModelClassificator):
        model_type = "flowers"
        input_size = 8
        labels = read_labels(tmp_path / "flowers.txt")
        mean, scale = 127.5, 127.5

    start(start_fake, [0.3, 0.7], serving_default=({"x": ("DT_FLOAT", -1, 8, 8, 3)}, {"y": ("DT_FLOAT", -1, 2)}))
    assert own["flowers"].predict(PHOTO) == "tulip"
