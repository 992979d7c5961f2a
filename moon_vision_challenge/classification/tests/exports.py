"""Models as trainers export them, each with the trainer's own preprocessing."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from moon_vision_challenge.model_io.tests.networks import CLASSES, HALF, UINT8

LABELS = tuple(f"class {number}" for number in range(CLASSES))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
R = Image.Resampling


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


def letterbox(image: Image.Image, size: int, color: tuple[int, int, int], filter_: Any = R.BILINEAR) -> Image.Image:
    ratio = size / max(image.size)
    inner = image.resize((round(image.width * ratio), round(image.height * ratio)), filter_)
    framed = Image.new("RGB", (size, size), color)
    framed.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return framed


def caffe(image: Image.Image) -> np.ndarray:
    pixels: np.ndarray = np.asarray(image.resize((64, 64), R.NEAREST), np.float32)[:, :, ::-1]
    prepared: np.ndarray = pixels - np.array([103.939, 116.779, 123.68], np.float32)
    return prepared


def area(image: Image.Image, size: int) -> np.ndarray:
    """Return the mean of what each output pixel covers. The weight of an input pixel is how much of it is covered."""

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
    """Resize as tf.image.resize does: bilinear between the four nearest pixels, whatever the scale."""
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
    """A file, the class that declares it, and the trainer's preprocessing."""

    def __init__(self, shape: Any, trainer: Callable[[Image.Image], np.ndarray], network: Any = None, **said: Any):
        self.shape, self.trainer, self.network = shape, trainer, network or {}
        self.said = {"labels": LABELS, **said}


NCHW, NHWC = ("N", 3, 64, 64), ("N", 64, 64, 3)  # sent as JSON numbers: a picture of 224 pixels takes half a second
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
TIMM_CFG = {
    "input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
    "mean": MEAN.tolist(), "std": STD.tolist(),
}  # fmt: skip
TIMM = {
    "architecture": "mobilenetv3_small_100", "num_classes": CLASSES, "label_names": LABELS, "pretrained_cfg": TIMM_CFG
}  # fmt: skip
FILES: dict[str, dict[str, Any]] = {
    "vit": {"preprocessor_config.json": VIT, "config.json": ID2LABEL},
    "clip": {"preprocessor_config.json": CLIP, "config.json": ID2LABEL},
    "vit_of_old": {"preprocessor_config.json": {**VIT, "size": 64}, "config.json": ID2LABEL},
    "timm": {"config.json": TIMM},
    "timm_squash": {"config.json": {**TIMM, "pretrained_cfg": {**TIMM_CFG, "crop_mode": "squash"}}},
    "timm_border": {"config.json": {**TIMM, "pretrained_cfg": {**TIMM_CFG, "crop_mode": "border", "crop_pct": 1.0}}},
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
    "timm_squash": Export(
        NCHW, lambda image: to_tensor(torch_crop(image.resize((71, 71), R.BICUBIC), 64, 64), MEAN, STD), LOGITS,
        preset="timm", labels=None,
    ),
    "timm_border": Export(
        NCHW, lambda image: to_tensor(letterbox(image, 64, (124, 116, 104), R.BICUBIC), MEAN, STD), LOGITS,
        preset="timm", labels=None,
    ),
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
        ("N", 3, 160, 160), lambda image: to_tensor(letterbox(image, 160, (114, 114, 114))), resize="letterbox",
        scale=255, interpolation="bilinear", pad_color=114,
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
