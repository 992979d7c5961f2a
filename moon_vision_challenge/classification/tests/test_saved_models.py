"""A hundred photos through the gateway and the real model server get the same answers as from TensorFlow in process.

The photos come from the folder in the environment variable PHOTOS, or else are crops of the sample photo.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.classificators import (
    EfficientNetLite0Classificator,
    InceptionClassificator,
    ResNetClassificator,
)
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, start_server
from moon_vision_challenge.model_zoo.architectures import LITE
from moon_vision_challenge.model_zoo.build import build_model
from moon_vision_challenge.model_zoo.saved_models import export
from native.environment import ROOT

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make test_tf")
keras: Any = pytest.importorskip("keras")

PHOTOS = 100
SEED = 7
BATCH = 10
SIZES = {"resnet": 224, "inception": 299}
CLASSIFICATORS: dict[str, type[ServedModelClassificator]] = {
    "resnet": ResNetClassificator,
    "inception": InceptionClassificator,
}


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    if folder := os.environ.get("PHOTOS"):
        found = [Image.open(path).convert("RGB") for path in sorted(Path(folder).iterdir())][:PHOTOS]
    else:
        coffee = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")
        corners = np.random.default_rng(0).integers(0, 200, (PHOTOS, 2)).tolist()
        found = [coffee.crop((left, top, left + 400, top + 200)) for left, top in corners]
    assert len(found) == PHOTOS
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each model twice: as it is exported, and as <name>_encoded, which accepts only encoded images."""
    folder = tmp_path_factory.mktemp("served")
    for name in CLASSIFICATORS:
        export(name, folder / "models", SEED)
        model = tf.saved_model.load(str(folder / "models" / name / "1"))
        only = {"serving_default": model.signatures["serving_default"]}
        tf.saved_model.save(model, str(folder / "models" / f"{name}_encoded" / "1"), signatures=only)
    export(LITE, folder / "models")
    (folder / "models" / LITE / "1" / "model.onnx").unlink()  # the model server would prefer it
    names = [*CLASSIFICATORS, *(f"{name}_encoded" for name in CLASSIFICATORS), LITE]
    (folder / "models.config").write_text(models_config(*names))
    running = start_server(folder, deadline_s=300)
    yield running
    assert running.stop() == 0


def crop(photo: Image.Image, side: int, part: float = 0.875) -> Image.Image:
    return pixels.fit(photo, (side, side), Declaration(crop=part))


def ask(server: Server, photos: list[Image.Image], cls: type[ServedModelClassificator], name: str) -> Any:
    """Return the labels and best scores that the gateway gives."""
    classificator = cls()
    classificator.model_url = f"{server.url}/v1/models/{name}:predict"
    answers = [
        answer
        for start in range(0, len(photos), BATCH)
        for answer in classificator.classify(photos[start : start + BATCH], top_k=1)
    ]
    return [answer.label for answer in answers], [answer.predictions[0].score for answer in answers]


def in_batches(function: Any, items: Any) -> np.ndarray:
    return np.concatenate([function(items[start : start + BATCH]) for start in range(0, len(items), BATCH)])


def check(given: Any, expected: np.ndarray) -> None:
    labels, scores = given
    assert labels == [IMAGENET_LABELS[index] for index in expected.argmax(axis=1)]
    np.testing.assert_allclose(scores, expected.max(axis=1), rtol=1e-5)


@pytest.mark.parametrize("name", CLASSIFICATORS)
def test_raw_pixels_get_the_labels_that_the_keras_model_gives(
    server: Server, photos: list[Image.Image], name: str
) -> None:
    cls = CLASSIFICATORS[name]
    keras.utils.set_random_seed(SEED)
    application = keras.applications.resnet if name == "resnet" else keras.applications.inception_v3
    model = (application.ResNet50 if name == "resnet" else application.InceptionV3)(weights=None)
    crops = np.stack([np.asarray(crop(photo, SIZES[name])) for photo in photos])
    prepared = application.preprocess_input(crops.astype(np.float32))
    expected = in_batches(lambda batch: model(batch, training=False).numpy(), prepared)
    check(ask(server, photos, cls, name), expected)


@pytest.mark.parametrize("name", CLASSIFICATORS)
def test_encoded_images_get_the_labels_that_tensorflow_gives(
    server: Server, photos: list[Image.Image], name: str
) -> None:
    cls = CLASSIFICATORS[name]
    folder = server.log.parent / "models" / name / "1"
    graph = tf.saved_model.load(str(folder)).signatures["serving_default"]
    side = round(SIZES[name] / 0.875)
    jpegs = [images.encode_jpeg(crop(photo, side, 1.0)) for photo in photos]
    expected = in_batches(lambda batch: graph(images=tf.constant(batch))["probabilities"].numpy(), jpegs)
    check(ask(server, photos, cls, f"{name}_encoded"), expected)


def test_efficientnet_lite0_is_the_same_in_tensorflow_as_in_onnx(
    server: Server, photos: list[Image.Image], tmp_path: Path
) -> None:
    build_model(LITE, tmp_path, "float32")
    session = onnxruntime.InferenceSession(tmp_path / LITE / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    crops = np.stack([np.asarray(crop(photo, 224)) for photo in photos])
    expected = in_batches(lambda batch: session.run(None, {"images": batch})[0], crops)
    check(ask(server, photos, EfficientNetLite0Classificator, LITE), expected)
