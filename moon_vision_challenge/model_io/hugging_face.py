"""Converts the preprocessor_config.json of Hugging Face to the values of a declaration.

The same keys mean different things to different classes of image processors:
https://github.com/huggingface/transformers/tree/main/src/transformers/models: */image_processing_*.py
"""

import re
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.types import Numbers

# The files hold Pillow's numbers.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_KNOWN_SWITCHES = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_flip_channel_order"}
_WITHOUT_EFFECT = {"do_convert_rgb", "do_reduce_labels"}
"""Images are already RGB, and labels are for training."""
_NEVER_CROP = {"Pvt", "Segformer", "Siglip", "ViT"}
_SQUARE = {"Beit", "DeiT", "EfficientFormer", "EfficientNet"}
"""Classes that crop, and treat a size of one number as a square. Others treat it as the shorter side."""


def read_processor(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file declares. Raises DeclarationError, or KeyError, TypeError or ValueError if it is unusual."""
    processor = {key: value for key, value in file.items() if value is not None}
    _refuse_what_is_not_known(processor)
    return {"layout": "NCHW", **_geometry(processor), **_values(processor)}


def _refuse_what_is_not_known(processor: Mapping[str, Any]) -> None:
    if not processor.get("do_resize", True):
        raise DeclarationError("preprocessor_config.json says do_resize: false.", "Declare input_size and resize.")
    switched_on = {key for key, value in processor.items() if key.startswith("do_") and value}
    for key in sorted(switched_on - _KNOWN_SWITCHES - _WITHOUT_EFFECT):
        raise DeclarationError(
            f"preprocessor_config.json says {key}, which is not supported.", "Declare the model by hand."
        )


def _values(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Express ((pixel x factor - shift) - mean) / std as (pixel - mean) / scale."""
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    shift = 1.0 if processor.get("rescale_offset") else 0.0
    means, divisors = [0.0], [1.0]
    if processor.get("do_normalize", "do_flip_channel_order" not in processor):  # MobileViT never normalizes
        means, divisors = processor["image_mean"], processor["image_std"]
    if processor.get("include_top"):  # EfficientNet divides once more
        divisors = [one * deviation for one, deviation in zip(cycle(divisors), processor["image_std"], strict=False)]
    said = {
        "mean": _numbers((one + shift) / factor for one in means),
        "scale": _numbers(one / factor for one in divisors),
    }
    flips = processor.get("do_flip_channel_order", False)
    return said | ({"channels": "BGR"} if flips else {})


def _numbers(values: Iterable[float]) -> Numbers:
    found = tuple(values)
    return found if len(found) > 1 else found[0]


def _geometry(processor: Mapping[str, Any]) -> dict[str, Any]:
    resample = processor.get("resample", 2)
    if resample not in _RESAMPLE:
        raise DeclarationError(f"resample {resample!r} is not supported.", "Declare interpolation.")
    name = processor.get("image_processor_type") or processor.get("feature_extractor_type") or ""
    family = re.sub(r"(ImageProcessor(Fast)?|FeatureExtractor)$", "", name)
    if family == "Perceiver":
        raise DeclarationError("A crop before the resize is not supported.", "Declare resize.")
    size = _size(processor, family)
    said: dict[str, Any] = {"interpolation": _RESAMPLE[resample]}
    cut = _cut(processor) if processor.get("do_center_crop") and family not in _NEVER_CROP else None
    if "shortest_edge" in size:
        return said | _of_shorter_side(processor, family, size["shortest_edge"], cut)
    scaled = (size["height"], size["width"])
    if cut is None:
        return said | {"input_size": scaled, "resize": "stretch"}
    return said | {"input_size": cut, "resize": "stretch", "crop": _kept(cut, scaled), "margin_rounding": "down"}


def _size(processor: Mapping[str, Any], family: str) -> dict[str, int]:
    size = processor.get("size", 224)
    if "size_divisor" in processor:
        raise DeclarationError("size_divisor is not supported.", "Declare input_size and resize.")
    if isinstance(size, int):
        is_side = "crop_pct" in processor or processor.get("do_center_crop")
        is_side = is_side and family not in _SQUARE | _NEVER_CROP
        return {"shortest_edge": size} if is_side else {"height": size, "width": size}
    if "shortest_edge" in size and len(size) > 1:
        raise DeclarationError(f"The size {dict(size)} is not supported.", "Declare input_size and resize.")
    if family == "PoolFormer" and size.get("height", 0) == size.get("width"):
        return {"shortest_edge": size["height"]}
    return dict(size)


def _of_shorter_side(
    processor: Mapping[str, Any], family: str, edge: int, cut: tuple[int, int] | None
) -> dict[str, Any]:
    scaled = edge
    if (crop := processor.get("crop_pct")) is not None:
        if family != "PoolFormer":  # as ConvNeXt does
            if edge >= 384:
                return {"input_size": edge, "resize": "stretch"}
            cut = (edge, edge)
        scaled = int(edge / crop)
    elif family == "Levit":
        scaled = int(256 / 224 * edge)
    if cut is None:
        raise DeclarationError(
            "A size of shortest_edge without a crop makes images of any shape.", "Declare input_size and resize."
        )
    return {"input_size": cut, "resize": "shorter_side", "shorter_side": scaled, "margin_rounding": "down"}


def _cut(processor: Mapping[str, Any]) -> tuple[int, int]:
    cut = processor.get("crop_size", 224)
    return (cut, cut) if isinstance(cut, int) else (cut["height"], cut["width"])


def _kept(inner: tuple[int, int], outer: tuple[int, int]) -> float:
    """Return the fraction of the sides that remains."""
    if inner[0] * outer[1] != inner[1] * outer[0]:
        raise DeclarationError(f"A crop of {outer} to {inner} is not supported.", "Declare resize.")
    return inner[0] / outer[0]
