"""Named presets of how common trainers prepare their images. Two of them read the files next to an export."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.hugging_face import read_processor
from moon_vision_challenge.model_io.labels import labels_of_json

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (58.395, 57.12, 57.375)
"""The usual mean and standard deviation of ImageNet's pixels, RGB, 0 to 255: (0.485, 0.456, 0.406) x 255 and so on."""

_PRESETS: dict[str, dict[str, Any]] = {
    # transforms.Resize(256), CenterCrop(224):
    # https://github.com/pytorch/vision/blob/main/torchvision/transforms/_presets.py
    "torchvision": {
        "resize": "shorter_side",
        "interpolation": "bilinear",
        "layout": "NCHW",
        "mean": IMAGENET_MEAN,
        "scale": IMAGENET_SCALE,
        "activation": "softmax",
    },
    # What load_img with a target_size and resnet50.preprocess_input ("caffe") do:
    # https://github.com/keras-team/keras/blob/master/keras/src/applications/imagenet_utils.py
    "keras-resnet50": {
        "resize": "stretch",
        "interpolation": "nearest",
        "channels": "BGR",
        "mean": (103.939, 116.779, 123.68),
    },
    # The same, with inception_v3.preprocess_input ("tf").
    "keras-inception": {"resize": "stretch", "interpolation": "nearest", "mean": 127.5, "scale": 127.5},
    # classify_transforms: https://github.com/ultralytics/ultralytics/blob/main/ultralytics/data/augment.py
    "ultralytics-cls": {
        "resize": "shorter_side",
        "crop": 1.0,
        "interpolation": "bilinear",
        "layout": "NCHW",
        "scale": 255.0,
    },
    # ImageOps.fit(image, (224, 224), LANCZOS), then pixel / 127.5 - 1, as in the code that Teachable Machine exports
    "teachable-machine": {
        "resize": "center_crop",
        "crop": 1.0,
        "interpolation": "lanczos",
        "mean": 127.5,
        "scale": 127.5,
    },
}


def preset_names() -> list[str]:
    return [*_PRESETS, *_READERS]


def read_preset(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return what a preset declares. `folder` holds the files of an export. Raises DeclarationError."""
    if name in _PRESETS:
        return dict(_PRESETS[name])
    if name not in _READERS:
        raise DeclarationError(f"preset = {name!r} is not known.", f"Write one of {', '.join(preset_names())}.")
    if folder is None:
        raise DeclarationError(
            f"preset = {name!r} reads files of the export.", "Write preset_dir = the folder that holds config.json."
        )
    try:
        return _READERS[name](Path(folder))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, DeclarationError):
            raise
        raise DeclarationError(
            f"preset = {name!r}: the files in {folder} are not as expected: {error!r}.", "Declare the model by hand."
        ) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DeclarationError(f"{path} cannot be read: {error.strerror}.", "Name its folder in preset_dir.") from error
    except ValueError as error:
        raise DeclarationError(f"{path} is not JSON: {error}.", "Export the model again.") from error


def _times(factor: float, values: list[float]) -> tuple[float, ...]:
    return tuple(value * factor for value in values)


def _read_timm(folder: Path) -> dict[str, Any]:
    """https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/transforms_factory.py"""
    config = _read_json(folder / "config.json")
    trained = config.get("pretrained_cfg") or config
    channels, height, width = trained["input_size"]
    said: dict[str, Any] = {
        "input_size": (height, width),
        "interpolation": trained.get("interpolation") or "bilinear",
        "layout": "NCHW",
        "channels": "grey" if channels == 1 else "RGB",
        "mean": _times(255, trained["mean"]),
        "scale": _times(255, trained["std"]),
        "activation": "softmax",
    }
    crop = trained.get("crop_pct") or 0.875
    match trained.get("crop_mode") or "center":
        case "center" if height == width:
            said |= {"resize": "shorter_side", "shorter_side": math.floor(height / crop)}
        case "center":
            said |= {"resize": "center_crop", "crop": crop}
        case "squash" if height == width:
            said |= {"resize": "stretch", "crop": height / math.floor(height / crop)}
        case "border" if crop == 1:
            said |= {"resize": "letterbox", "pad_color": tuple(round(value) for value in said["mean"])}
        case other:
            raise DeclarationError(f"crop_mode {other!r} with crop_pct {crop} is not supported.", "Declare resize.")
    names = config.get("label_names") or trained.get("label_names")
    if names:
        descriptions = config.get("label_descriptions") or trained.get("label_descriptions")
        said["labels"] = tuple(str(descriptions[name]) for name in names) if descriptions else labels_of_json(names)
    return said


def _read_huggingface(folder: Path) -> dict[str, Any]:
    said = read_processor(_read_json(folder / "preprocessor_config.json"))
    config = _read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if config.get("id2label"):
        said["labels"] = labels_of_json(config)
    several = config.get("problem_type") == "multi_label_classification"
    return said | ({"activation": "sigmoid", "threshold": 0.5} if several else {"activation": "softmax"})


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {"timm": _read_timm, "huggingface-vit": _read_huggingface}
