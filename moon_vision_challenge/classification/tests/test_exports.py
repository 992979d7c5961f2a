"""Models with the signatures of the usual exports, served by the real model server, asked through a declaration.

The pixels that a trainer's own preprocessing makes are written down here once more, in Pillow and NumPy; onnxruntime
runs the same file on them. Label and score must be the same.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageOps

from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.model_io.tests.networks import CLASSES, HALF, UINT8, save_network
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, start_server
from native.environment import ROOT

LABELS = tuple(f"class {number}" for number in range(CLASSES))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
R = Image.Resampling

COFFEE = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")
PHOTOS = [COFFEE, COFFEE.crop((40, 10, 301, 350)), COFFEE.resize((97, 61)), COFFEE.crop((0, 0, 333, 333))]


def torch_resize(image: Image.Image, side: int, filter_: Any) -> Image.Image:
    width, height = image.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    return image.resize(size, filter_)


def torch_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    top, left = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def to_tensor(image: Image.Image, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    pixels = ((np.asarray(image, np.float64) / 255 - mean) / std).astype(np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def torchvision(image: Image.Image, side: int = 73, filter_: Any = R.BILINEAR, size: int = 64) -> np.ndarray:
    return to_tensor(torch_crop(torch_resize(image, side, filter_), size, size), MEAN, STD)


def letterbox(image: Image.Image, size: int, color: int) -> Image.Image:
    ratio = size / max(image.size)
    inner = image.resize((round(image.width * ratio), round(image.height * ratio)), R.BILINEAR)
    framed = Image.new("RGB", (size, size), (color, color, color))
    framed.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return framed


def caffe(image: Image.Image) -> np.ndarray:
    pixels: np.ndarray = np.asarray(image.resize((64, 64), R.NEAREST), np.float32)[:, :, ::-1]
    prepared: np.ndarray = pixels - np.array([103.939, 116.779, 123.68], np.float32)
    return prepared


def area(image: Image.Image, size: int) -> np.ndarray:
    """The mean of what each pixel covers; the weight of a pixel is the part of it that is covered."""

    def weights(length: int) -> np.ndarray:
        edges, pixels = np.arange(size + 1)[:, None] * length / size, np.arange(length)
        covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
        parts: np.ndarray = covered.clip(0) * size / length
        return parts

    pixels = np.asarray(image, np.float64)
    means = np.einsum("yh,hwc,xw->yxc", weights(image.height), pixels, weights(image.width), optimize=True)
    rounded: np.ndarray = np.rint(means).astype(np.float32)
    return rounded


def nearest_four(image: Image.Image, size: int) -> np.ndarray:
    """What tf.image.resize does: bilinear between the four nearest pixels, whatever the scale."""
    pixels = np.asarray(image, np.float64)
    for axis in (0, 1):
        length = pixels.shape[axis]
        at = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = np.minimum(np.floor(at).astype(int), max(0, length - 2))
        part = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, length - 1)
        pixels = pixels.take(low, axis) * (1 - part) + pixels.take(high, axis) * part
    return pixels.astype(np.float32)


class Export:
    """A file, the class that declares it, and the pixels of its trainer."""

    def __init__(self, shape: Any, trainer: Callable[[Image.Image], np.ndarray], network: Any = None, **said: Any):
        self.shape, self.trainer, self.network = shape, trainer, network or {}
        self.said = {"labels": LABELS, **said}


NCHW, NHWC = ("N", 3, 64, 64), ("N", 64, 64, 3)  # of numbers as JSON: a picture of 224 pixels takes half a second
FREE = ("batch_size", "num_channels", "height", "width")
LOGITS = {"head": "logits"}
PIXELS = {"layout": "NHWC", "factor": 1 / 255}
VIT = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 64, "width": 64}, "resample": 2,
    "do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
CLIP = {
    "do_resize": True, "size": {"shortest_edge": 64}, "resample": 3, "do_center_crop": True, "image_mean": CLIP_MEAN,
    "crop_size": {"height": 64, "width": 64}, "do_normalize": True, "image_std": CLIP_STD,
}  # fmt: skip
ID2LABEL = {"id2label": dict(enumerate(LABELS))}
TIMM = {
    "architecture": "mobilenetv3_small_100", "num_classes": CLASSES, "label_names": LABELS,
    "pretrained_cfg": {"input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
                       "mean": MEAN.tolist(), "std": STD.tolist()},
}  # fmt: skip
FILES: dict[str, dict[str, Any]] = {
    "vit": {"preprocessor_config.json": VIT, "config.json": ID2LABEL},
    "clip": {"preprocessor_config.json": CLIP, "config.json": ID2LABEL},
    "vit_of_old": {"preprocessor_config.json": {**VIT, "size": 64}, "config.json": ID2LABEL},
    "timm": {"config.json": TIMM},
}


def half(image: Image.Image) -> np.ndarray:
    return to_tensor(torch_crop(torch_resize(image, 64, R.BILINEAR), 64, 64)).astype(np.float16)


EXPORTS = {
    "torchvision": Export(NCHW, torchvision, LOGITS, preset="torchvision"),
    "torchvision_224": Export(
        ("N", 3, 224, 224), lambda image: torchvision(image, 256, size=224), LOGITS, preset="torchvision"
    ),
    "torchvision_v2": Export(
        NCHW, lambda image: torchvision(image, 66), LOGITS, preset="torchvision", shorter_side=66
    ),
    "optimum": Export(
        FREE, torchvision, {**LOGITS, "names": ("pixel_values", "logits")}, preset="torchvision", input_size=64
    ),
    "timm": Export(NCHW, lambda image: torchvision(image, 71, R.BICUBIC), LOGITS, preset="timm", labels=None),
    "vit": Export(
        FREE, lambda image: to_tensor(image.resize((64, 64), R.BILINEAR), 0.5, 0.5), LOGITS,
        preset="huggingface-vit", labels=None,
    ),
    "vit_of_old": Export(
        FREE, lambda image: to_tensor(image.resize((64, 64), R.BILINEAR), 0.5, 0.5), LOGITS,
        preset="huggingface-vit", labels=None,
    ),
    "clip": Export(
        FREE, lambda image: to_tensor(torch_crop(torch_resize(image, 64, R.BICUBIC), 64, 64), CLIP_MEAN, CLIP_STD),
        LOGITS, preset="huggingface-vit", labels=None,
    ),
    "ultralytics": Export(
        (1, 3, 64, 64), lambda image: to_tensor(torch_crop(torch_resize(image, 64, R.BILINEAR), 64, 64)),
        preset="ultralytics-cls",
    ),
    "teachable": Export(
        NHWC, lambda image: np.asarray(ImageOps.fit(image, (64, 64), R.LANCZOS), np.float32) / 127.5 - 1,
        {"layout": "NHWC"}, preset="teachable-machine",
    ),
    "keras_resnet50": Export(NHWC, caffe, PIXELS, preset="keras-resnet50"),
    "keras_inception": Export(
        ("N", 99, 99, 3), lambda image: np.asarray(image.resize((99, 99), R.NEAREST), np.float32) / 127.5 - 1,
        {"layout": "NHWC"}, preset="keras-inception",
    ),
    "oblong": Export(
        ("N", 3, 96, 160), lambda image: to_tensor(image.resize((160, 96), R.BICUBIC)), resize="stretch", scale=255,
        input_size=(96, 160),
    ),
    "letterbox": Export(
        ("N", 3, 160, 160), lambda image: to_tensor(letterbox(image, 160, 114)), resize="letterbox", scale=255,
        interpolation="bilinear", pad_color=114,
    ),
    "pixels": Export(
        NHWC, lambda image: np.asarray(ImageOps.fit(image, (64, 64), R.BICUBIC)), {**PIXELS, "dtype": UINT8}, crop=1.0
    ),
    "half": Export(NCHW, half, {"dtype": HALF}, preset="ultralytics-cls"),
    "grey_nhw": Export(
        ("N", 28, 28), lambda image: np.asarray(image.convert("L").resize((28, 28), R.BILINEAR), np.float32) / 255,
        {"layout": "NHW"}, resize="stretch", interpolation="bilinear", scale=255,
    ),
    "grey_nchw": Export(
        (None, 1, 28, 28), lambda image: np.asarray(image.convert("L").resize((28, 28), R.BILINEAR), np.float32)[None],
        {"factor": 1 / 255}, resize="stretch", interpolation="bilinear",
    ),
    "grey_flat": Export(
        (None, 784), lambda image: np.asarray(image.convert("L").resize((28, 28)), np.float32).reshape(-1) / 255,
        {"layout": "flat"}, resize="stretch", scale=255.0, input_size=28,
    ),
    "bgr_planes": Export(
        NCHW, lambda image: torchvision(image)[::-1].copy(), LOGITS, preset="torchvision", channels="BGR",
        mean=(103.53, 116.28, 123.675), scale=(57.375, 57.12, 58.395),
    ),
    "area": Export(
        ("N", 32, 32, 3), lambda image: area(image, 32), PIXELS, resize="stretch", interpolation="area"
    ),
    "tf_image": Export(
        ("N", 64, 64, 3), lambda image: nearest_four(image, 64), PIXELS, resize="stretch", interpolation="bilinear",
        antialias=False,
    ),
    "n11": Export(NCHW, torchvision, {"head": "N11"}, preset="torchvision", activation="none"),
    "named": Export(NCHW, torchvision, {"head": "both"}, preset="torchvision", output="output0", activation="none"),
    "found": Export(NCHW, torchvision, {"head": "both"}, preset="torchvision", activation="none"),
    "sigmoids": Export(NCHW, torchvision, {"head": "sigmoid"}, preset="torchvision", threshold=0.5, activation="none"),
    "one_sigmoid": Export(
        NCHW, torchvision, {"head": "sigmoid", "classes": 1}, preset="torchvision", labels=("no", "yes"),
        activation="none",
    ),
    "one_logit": Export(
        NCHW, torchvision, {"head": "logits", "classes": 1}, preset="torchvision", labels=("no", "yes"),
        activation="sigmoid",
    ),
    "background": Export(NCHW, torchvision, LOGITS, preset="torchvision", labels=LABELS[1:]),
    "index": Export(NCHW, torchvision, {"head": "index"}, preset="torchvision"),
    "column": Export(NCHW, torchvision, {"head": "column"}, preset="torchvision"),
    "text": Export(NCHW, torchvision, {"head": "text"}, preset="torchvision", labels=None),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("exports")
    for name, export in EXPORTS.items():
        version = folder / "models" / name / "1"
        save_network(version / "model.onnx", export.shape, **export.network)
        for file, content in FILES.get(name, {}).items():
            (version / file).write_text(json.dumps(content))
    (folder / "models.config").write_text(models_config(*EXPORTS))
    running = start_server(folder)
    yield running
    assert running.stop() == 0, running.log.read_text()


def declared(name: str, server: Server) -> ServedModelClassificator:
    said = dict(EXPORTS[name].said)
    if name in FILES:
        said["preset_dir"] = server.log.parent / "models" / name / "1"
    made: ServedModelClassificator = type(name, (ServedModelClassificator,), {"model_type": name, **said})()
    made.model_url = f"{server.url}/v1/models/{name}:predict"
    return made


def run(name: str, server: Server, image: Image.Image) -> np.ndarray:
    path = server.log.parent / "models" / name / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: EXPORTS[name].trainer(image)[None]})
    found: np.ndarray = outputs[-1][0]
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits.astype(np.float64) - logits.max())
    found: np.ndarray = exponents / exponents.sum()
    return found


WITH_SCORES = [name for name in EXPORTS if not name.startswith(("one", "index", "column", "text", "sigmoids"))]


@pytest.mark.parametrize("name", WITH_SCORES)
def test_labels_and_scores_are_those_of_the_trainers_own_pixels(server: Server, name: str) -> None:
    classificator = declared(name, server)
    for image, found in zip(PHOTOS, classificator.classify(PHOTOS, top_k=3), strict=True):
        expected = run(name, server, image).reshape(-1)
        if classificator.declaration.activation == "softmax":
            expected = softmax(expected)
        if name == "background":
            expected = np.concatenate([[0], expected[1:]])
        best = np.argsort(-expected)[:3]
        assert [one.label for one in found.predictions] == [LABELS[index] for index in best]
        scores = np.array([one.score for one in found.predictions], float)
        np.testing.assert_allclose(scores, expected[best], atol=1e-3)
        assert found.label == found.predictions[0].label


def test_several_independent_labels_are_all_that_are_above_the_threshold(server: Server) -> None:
    for image, found in zip(PHOTOS, declared("sigmoids", server).classify(PHOTOS, top_k=CLASSES), strict=True):
        expected = run("sigmoids", server, image)
        above = [LABELS[index] for index in np.argsort(-expected) if expected[index] > 0.5]
        assert [one.label for one in found.predictions] == above
        assert found.label == ", ".join(above)


@pytest.mark.parametrize("name", ["one_sigmoid", "one_logit"])
def test_one_sigmoid_is_the_score_of_the_second_of_two_labels(server: Server, name: str) -> None:
    for image, found in zip(PHOTOS, declared(name, server).classify(PHOTOS, top_k=5), strict=True):
        [number] = run(name, server, image)
        score = number if name == "one_sigmoid" else 1 / (1 + np.exp(-number))
        assert found.label == ("yes" if score > 0.5 else "no")
        scores = {one.label: one.score for one in found.predictions}
        assert scores == {"yes": pytest.approx(score, abs=1e-3), "no": pytest.approx(1 - score, abs=1e-3)}


@pytest.mark.parametrize(("name", "label"), [("index", "class {}"), ("column", "class {}"), ("text", "{}")])
def test_an_index_or_a_text_is_the_label(server: Server, name: str, label: str) -> None:
    for image, found in zip(PHOTOS, declared(name, server).classify(PHOTOS, top_k=5), strict=True):
        expected = np.asarray(run(name, server, image)).reshape(-1)[0]
        assert found.label == label.format(expected)
        assert len(found.predictions) == 1
