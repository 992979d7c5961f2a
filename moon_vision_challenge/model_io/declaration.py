"""What a model accepts and returns, as its owner declares it. The rest is read from the model's metadata."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.presets import read_preset
from moon_vision_challenge.model_io.types import (
    Activation,
    Channels,
    Interpolation,
    Layout,
    MarginRounding,
    Numbers,
    Resize,
)


@dataclass(frozen=True)
class Declaration:
    """How to prepare images for a model, and how to read its answers.

    Attributes:
        input_size: height and width of the model's input, in pixels. None: as in the metadata.
        resize: `center_crop` cuts out the largest central rectangle with the input's aspect ratio, times `crop`, and
            scales it. `shorter_side` scales the shorter side to `shorter_side` pixels, then cuts `input_size` from the
            center, as torchvision's Resize and CenterCrop do. `stretch` scales the whole picture, whatever its aspect
            ratio, or the central part that `crop` leaves. `letterbox` scales the whole picture to fit, and fills the
            rest with `pad_color`.
        crop: the fraction of the picture's sides to keep, above 0, up to 1. None: 1 for `stretch`, else 0.875.
        shorter_side: for `shorter_side`, in pixels. None: the larger side of the input / `crop`, such as 256 for 224.
        margin_rounding: for `shorter_side` and `stretch`, where the crop begins if the margins have half a pixel.
            `nearest` rounds to the even pixel, as torchvision's CenterCrop does. `down` is the rule of Hugging Face.
        interpolation: `bicubic`, `bilinear`, `lanczos` and `nearest` are those of Pillow, and so of torchvision. `area`
            is the mean of the area that a pixel covers, as in OpenCV's INTER_AREA.
        antialias: False: `bilinear` and `bicubic` use only the nearest pixels, as tf.image.resize and OpenCV do.
        channels: `RGB`, `BGR` or `grey` (ITU-R 601-2 luma). None: RGB or grey, by the number of channels.
        layout: `NHWC`, `NCHW`, `NHW` (grey) or `flat` (a vector of height x width x channels). None: by the shape.
        mean, scale: a float input gets (pixel - mean) / scale, with pixels from 0 to 255. One number, or one for each
            channel in the order of `channels`.
        output: the name of the output to read. None: the only one, or the one that fits the labels.
        activation: `softmax` or `sigmoid` is applied to the scores, for a model that returns logits.
        threshold: for a model with several independent labels. Each label with a score above it is predicted. One
            number, or one for each label.
        labels: the label of each class, in the order of the model's output. None: the model returns labels.
        has_background: the model returns an index, and index 0 is a background class before the labels.
    """

    input_size: tuple[int, int] | None = None
    resize: Resize = "center_crop"
    crop: float | None = None
    shorter_side: int | None = None
    margin_rounding: MarginRounding = "nearest"
    interpolation: Interpolation = "bicubic"
    antialias: bool = True
    pad_color: int | tuple[int, int, int] = 0
    channels: Channels | None = None
    layout: Layout | None = None
    mean: Numbers = 0.0
    scale: Numbers = 1.0
    output: str | None = None
    activation: Activation = "none"
    threshold: Numbers | None = None
    labels: Sequence[str] | None = None
    has_background: bool = False

    @property
    def kept(self) -> float:
        """The fraction of the picture's sides to keep."""
        return self.crop or (1.0 if self.resize == "stretch" else 0.875)


FIELDS = tuple(field.name for field in fields(Declaration))

_HINTS = get_type_hints(Declaration)
_CHOICES = {
    "resize": Resize,
    "margin_rounding": MarginRounding,
    "interpolation": Interpolation,
    "channels": Channels,
    "layout": Layout,
    "activation": Activation,
}


def declare(said: Mapping[str, Any], *, preset: str | None = None, preset_dir: Path | None = None) -> Declaration:
    """Return the declaration of what is `said`, on top of a preset. None means undeclared. Raises DeclarationError."""
    given = {name: value for name, value in said.items() if value is not None}
    values = {**(read_preset(preset, preset_dir) if preset else {}), **given}
    _check_choices(values)
    values = {**values, **_sizes(values)}
    for name in ("mean", "scale", "threshold"):
        if name in values:
            values[name] = _numbers(name, values[name])
    if "threshold" in given and "activation" not in given and values.get("activation") == "softmax":
        raise DeclarationError(
            f"threshold is for independent labels, and the preset {preset!r} applies a softmax.",
            "Write activation = 'sigmoid', or activation = 'none' if the model does that itself.",
        )
    if 0.0 in _as_tuple(values.get("scale", 1.0)):
        raise DeclarationError("scale is 0.", "Write the number by which the pixels are divided, such as scale = 255.0")
    if values.get("interpolation") == "lanczos" and values.get("antialias") is False:
        raise DeclarationError("lanczos needs antialias.", "Remove antialias, or write interpolation = 'bicubic'")
    if "labels" in values:
        _check_labels(values["labels"])
    return Declaration(**values)


def _check_choices(values: Mapping[str, Any]) -> None:
    for name, choices in _CHOICES.items():
        if name in values and values[name] not in get_args(choices):
            known = ", ".join(repr(choice) for choice in get_args(choices))
            raise DeclarationError(f"{name} = {values[name]!r} is not known.", f"Write one of {known}.")


def _sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "input_size" in values:
        size = values["input_size"]
        pair = (size, size) if _is_pixels(size) else tuple(size) if isinstance(size, list | tuple) else ()
        if len(pair) != 2 or not all(map(_is_pixels, pair)):
            raise DeclarationError(
                f"input_size = {size!r} is not a size.",
                "Write one number, or (height, width), of pixels from 1 to 10000.",
            )
        found["input_size"] = pair
    if "shorter_side" in values and not _is_pixels(values["shorter_side"]):
        raise DeclarationError(f"shorter_side = {values['shorter_side']!r} is not a number of pixels.", "Write 256.")
    if "crop" in values and not (_is_number(values["crop"]) and 0 < values["crop"] <= 1):
        raise DeclarationError(f"crop = {values['crop']!r} is not a fraction.", "Write a number above 0, up to 1.0.")
    return found


def _numbers(name: str, value: Any) -> Numbers:
    many = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not many or not all(map(_is_number, many)):
        raise DeclarationError(f"{name} = {value!r} is not a number.", "Write one number, or a tuple of numbers.")
    return tuple(float(one) for one in many) if isinstance(value, list | tuple) else float(value)


def _check_labels(labels: Any) -> None:
    if isinstance(labels, str) or not isinstance(labels, Sequence) or not all(isinstance(one, str) for one in labels):
        raise DeclarationError("labels is not a sequence of strings.", "Write labels = read_labels(path).")


def _as_tuple(value: Numbers) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_pixels(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
