"""preprocessor_config.json of each kind of image processor, against the steps of that processor on the same image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_io import inputs
from moon_vision_challenge.model_io.declaration import declare
from moon_vision_challenge.model_io.errors import DeclarationError

R = Image.Resampling
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NORMALIZED = {"image_mean": MEAN.tolist(), "image_std": STD.tolist(), "resample": 3}
PHOTOS = [
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)).resize(size, R.BICUBIC)
    for size in ((131, 90), (90, 131), (100, 100), (300, 47))
]


def shorter_side(image: Image.Image, side: int) -> Image.Image:
    shorter = min(image.size)
    width, height = (side if one == shorter else int(side * one / shorter) for one in image.size)
    return image.resize((width, height), R.BICUBIC)


def cut(image: Image.Image, side: int) -> Image.Image:
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def square(image: Image.Image, side: int, resample: R = R.BICUBIC) -> Image.Image:
    return image.resize((side, side), resample)


def normalized(image: Image.Image, deviation: np.ndarray = STD) -> np.ndarray:
    return np.asarray((np.asarray(image) / 255 - MEAN) / deviation)


CASES: dict[str, tuple[dict[str, Any], Callable[[Image.Image], np.ndarray]]] = {
    "ViT": ({"size": 64}, lambda image: normalized(square(image, 64))),
    "ViT that never crops": (
        {"size": 64, "image_processor_type": "ViTImageProcessor", "do_center_crop": True},
        lambda image: normalized(square(image, 64)),
    ),
    "keys without a value": (
        {"size": 64, "do_rescale": None, "do_normalize": None, "crop_size": None},
        lambda image: normalized(square(image, 64)),
    ),
    "CLIP": (
        {"size": {"shortest_edge": 70}, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}},
        lambda image: normalized(cut(shorter_side(image, 70), 64)),
    ),
    "DeiT of old": (
        {"feature_extractor_type": "DeiTFeatureExtractor", "size": 72, "crop_size": 64, "do_center_crop": True},
        lambda image: normalized(cut(square(image, 72), 64)),
    ),
    "BEiT": (
        {"size": {"height": 72, "width": 72}, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}},
        lambda image: normalized(cut(square(image, 72), 64)),
    ),
    "a crop with odd margins": (
        {"size": {"height": 71, "width": 71}, "do_center_crop": True, "crop_size": 64},
        lambda image: normalized(cut(square(image, 71), 64)),
    ),
    "ConvNeXt of old": (
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 64, "crop_pct": 0.875},
        lambda image: normalized(cut(shorter_side(image, 73), 64)),
    ),
    "large ConvNeXt": (
        {"size": {"shortest_edge": 384}, "crop_pct": 0.875}, lambda image: normalized(square(image, 384)),
    ),
    "PoolFormer": (
        {"image_processor_type": "PoolFormerImageProcessorFast", "size": {"height": 64, "width": 64}, "crop_pct": 0.9,
         "do_center_crop": True, "crop_size": 64},
        lambda image: normalized(cut(shorter_side(image, 71), 64)),
    ),
    "LeViT": (
        {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 56}, "do_center_crop": True,
         "crop_size": 56},
        lambda image: normalized(cut(shorter_side(image, 64), 56)),
    ),
    "EfficientNet": (
        {"image_processor_type": "EfficientNetImageProcessor", "size": 64, "include_top": True, "resample": 0},
        lambda image: normalized(square(image, 64, R.NEAREST), STD * STD),
    ),
    "EfficientNet without normalization": (
        {"size": 64, "include_top": True, "do_normalize": False},
        lambda image: np.asarray(square(image, 64)) / 255 / STD,
    ),
    "from -1 to 1": (
        {"size": 64, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
        lambda image: np.asarray(square(image, 64)) / 127.5 - 1,
    ),
    "MobileViT": (
        {"size": {"shortest_edge": 72}, "do_center_crop": True, "crop_size": 64, "do_flip_channel_order": True},
        lambda image: np.asarray(cut(shorter_side(image, 72), 64))[..., ::-1] / 255,
    ),
    "no rescaling": (
        {"size": 64, "do_rescale": False, "do_normalize": False}, lambda image: np.asarray(square(image, 64)),
    ),
}  # fmt: skip


class Floats:
    dtype, shape = "DT_FLOAT", (-1, 3, -1, -1)


def read(folder: Path, file: dict[str, Any]) -> Any:
    (folder / "preprocessor_config.json").write_text(json.dumps(file))
    return declare({}, preset="huggingface-vit", preset_dir=folder)


@pytest.mark.parametrize("kind", CASES)
def test_images_are_prepared_as_the_processor_does(tmp_path: Path, kind: str) -> None:
    file, steps = CASES[kind]
    how = read(tmp_path, NORMALIZED | file)
    for photo in PHOTOS:
        expected = steps(photo)
        found = inputs.prepare(photo, inputs.read_input(Floats(), how), how).transpose(1, 2, 0)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() / np.ptp(expected) < 0.004


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"do_pad": True}, "do_pad, which is not supported"),
        ({"do_something_new": True}, "do_something_new, which is not supported"),
        ({"size": {"shortest_edge": 64}}, "images of any shape"),
        ({"size": {"shortest_edge": 64, "longest_edge": 96}, "do_center_crop": True}, "size .* is not supported"),
        ({"size": 64, "size_divisor": 32}, "size_divisor is not supported"),
        ({"size": {"height": 64, "width": 96}, "do_center_crop": True, "crop_size": 32}, "crop of .* not supported"),
        ({"size": {"height": 64, "width": 64}, "do_center_crop": True, "crop_size": 96}, "is not a fraction"),
        (
            {"feature_extractor_type": "PerceiverFeatureExtractor", "size": 64, "do_center_crop": True},
            "crop before the resize",
        ),
    ],
)
def test_what_would_change_the_pixels_in_an_unknown_way_is_refused(
    tmp_path: Path, file: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        read(tmp_path, NORMALIZED | file)
