"""Derives the input of a model from its metadata and the declaration, and brings images into that form."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.pixels import fit, scaled_side
from moon_vision_challenge.model_io.types import Channels, Layout, Numbers, Tensor, shown_shape

FLOATS = frozenset({"DT_FLOAT", "DT_DOUBLE", "DT_HALF"})
_UNSIGNED = frozenset({"DT_UINT8", "DT_UINT16", "DT_UINT32", "DT_UINT64"})
_SIGNED = frozenset({"DT_INT8", "DT_INT16", "DT_INT32", "DT_INT64"})
_NUMPY = {
    **{
        "DT_FLOAT": np.float32,
        "DT_DOUBLE": np.float64,
        "DT_HALF": np.float16,
        "DT_UINT8": np.uint8,
        "DT_INT8": np.int8,
    },
    **{"DT_UINT16": np.uint16, "DT_INT16": np.int16, "DT_UINT32": np.uint32, "DT_INT32": np.int32},
    **{"DT_UINT64": np.uint64, "DT_INT64": np.int64},
}
_FEWEST_STEPS = 15
"""A picture needs at least as many levels as 4 bits hold. With fewer, the declared mean and scale are for floats."""


@dataclass(frozen=True)
class InputForm:
    """The form of one image, without the batch."""

    size: tuple[int, int]
    """Height and width, in pixels."""
    channels: Channels
    channels_count: int
    layout: Layout
    dtype: str
    """The name of the type in TensorFlow's types.proto."""
    batch: int = -1
    """How many images a request must hold. -1: any number."""


def takes_image(tensor: Tensor, declared: Declaration) -> bool:
    """Return whether a numeric tensor can be an image."""
    rank = len(tensor.shape)
    if tensor.dtype not in FLOATS | _UNSIGNED | _SIGNED:
        return False
    if rank == 2:
        return declared.layout == "flat" or _flat_channels(tensor.shape[1], declared) is not None
    return rank in (3, 4) or (rank == 0 and declared.layout is not None)


def read_input(tensor: Tensor, declared: Declaration) -> InputForm:
    """Return the form of a numeric input. Raises DeclarationError if the declaration is incomplete or does not fit."""
    layout = declared.layout or _layout_of(tensor)
    height, width, channels_count = _sizes(tensor, layout, declared)
    channels, channels_count = _agreed_channels(channels_count, layout, declared)
    size = _agreed_size((height, width), declared)
    _check_numbers(channels_count, declared)
    _check_range(tensor, declared)
    if declared.resize == "shorter_side" and scaled_side(size, declared) < max(size):
        raise DeclarationError(
            f"shorter_side = {declared.shorter_side} is smaller than the input, {_shown(size)}.",
            f"Write shorter_side = {round(max(size) / declared.kept)}",
        )
    batch = tensor.shape[0] if tensor.shape and tensor.shape[0] > 0 else -1
    return InputForm(size, channels, channels_count, layout, tensor.dtype, batch)


def prepare(image: Image.Image, form: InputForm, how: Declaration) -> np.ndarray:
    """Convert an RGB image to the form that the model needs.

    Returns:
        One image, contiguous: unchanged integers, or (pixel - mean) / scale as float32, rounded to int64 for a signed
        input.
    """
    if _is_plain(form):
        memory = fit(image, form.size, how).tobytes()  # the same, without the detour through Pillow's array interface
        return np.frombuffer(memory, np.uint8).reshape(*form.size, 3)
    pixels = arrange(image, form, how)
    if form.dtype in FLOATS or (form.dtype in _SIGNED and (how.mean, how.scale) != (0.0, 1.0)):
        normalised = (pixels - _along(how.mean, form)) / _along(how.scale, form)
        pixels = normalised if form.dtype in FLOATS else np.rint(normalised).astype(np.int64)
    return np.ascontiguousarray(pixels)


def pack(image: Image.Image, form: InputForm, how: Declaration) -> bytes:
    """Return the memory of `prepare`'s array in the dtype of the model, for a signature that accepts it as a string."""
    if _is_plain(form):
        return fit(image, form.size, how).tobytes()  # the same, without a copy of the picture
    return prepare(image, form, how).astype(_NUMPY[form.dtype], copy=False).tobytes()


def _is_plain(form: InputForm) -> bool:
    """Return whether the model accepts the memory of a picture as Pillow stores it."""
    return (form.dtype, form.layout, form.channels) == ("DT_UINT8", "NHWC", "RGB")


def arrange(image: Image.Image, form: InputForm, how: Declaration) -> np.ndarray:
    """Return the pixels as uint8, cropped and scaled, with the channels and the layout of the model."""
    if form.channels == "grey":
        image = image.convert("L")
    pixels = np.asarray(fit(image, form.size, how))
    if form.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    if form.channels == "grey" and form.layout != "NHW":
        pixels = np.repeat(pixels[:, :, np.newaxis], form.channels_count, axis=2)
    if form.layout == "NCHW":
        return pixels.transpose(2, 0, 1)
    return pixels.reshape(-1) if form.layout == "flat" else pixels


def _along(value: Numbers, form: InputForm) -> Any:
    numbers = np.asarray(value, np.float32)
    if numbers.ndim and form.layout == "NCHW":
        return numbers.reshape(-1, 1, 1)
    return np.tile(numbers, math.prod(form.size)) if numbers.ndim and form.layout == "flat" else numbers


def _layout_of(tensor: Tensor) -> Layout:
    shape = tensor.shape
    if len(shape) == 2:
        return "flat"
    if len(shape) == 3:
        return "NHW"
    if shape[1] in (1, 3):
        return "NCHW"
    if shape[3] > 0:
        return "NHWC"
    raise DeclarationError(
        f"The input's shape {shown_shape(shape)} does not say where the channels are.",
        "Write layout = 'NCHW' (PyTorch's) or layout = 'NHWC' (TensorFlow's).",
        missing="layout",
    )


def _sizes(tensor: Tensor, layout: Layout, declared: Declaration) -> tuple[int, int, int]:
    """Return height, width and channels, with -1 for what the metadata leave open."""
    shape = tensor.shape
    ranks = {"NHWC": 4, "NCHW": 4, "NHW": 3, "flat": 2}
    if not shape:
        return -1, -1, 1 if layout == "NHW" else -1
    if len(shape) != ranks[layout]:
        fitting = [f"layout = {name!r}" for name, rank in ranks.items() if rank == len(shape)]
        raise DeclarationError(
            f"layout is {layout!r}, but the input has {len(shape)} dimensions: {shown_shape(shape)}.",
            f"Write {' or '.join(fitting)}" if fitting else "Write a class with a preprocess_input.",
        )
    match layout:
        case "NHWC":
            return shape[1], shape[2], shape[3]
        case "NCHW":
            return shape[2], shape[3], shape[1]
        case "NHW":
            return shape[1], shape[2], 1
        case "flat":
            return -1, -1, _flat_channels(shape[1], declared) or (-1 if shape[1] < 0 else _no_such_vector(shape[1]))


def _flat_channels(length: int, declared: Declaration) -> int | None:
    """Return the number of channels in a vector of this length, at the declared size."""
    if declared.input_size is None:
        return None
    return next((count for count in (1, 3) if count * math.prod(declared.input_size) == length), None)


def _no_such_vector(length: int) -> int:
    side = next((round(math.sqrt(length / count)) for count in (1, 3) if _is_square(length, count)), None)
    raise DeclarationError(
        f"The input is a vector of {length} numbers.", f"Write input_size = {side or '(height, width)'}"
    )


def _is_square(length: int, count: int) -> bool:
    return length % count == 0 and math.isqrt(length // count) ** 2 == length // count


def _agreed_size(served: tuple[int, int], declared: Declaration) -> tuple[int, int]:
    if declared.input_size is None:
        if min(served) < 1:
            raise DeclarationError(
                "The model takes images of any size.",
                "Write input_size = 224, or the size that it needs.",
                missing="input_size",
            )
        return served
    if any(one > 0 and one != other for one, other in zip(served, declared.input_size, strict=True)):
        height, width = declared.input_size
        right = (served[0] if served[0] > 0 else height, served[1] if served[1] > 0 else width)
        raise DeclarationError(
            f"input_size is {_shown(declared.input_size)}, but the model takes {_shown(right)}.",
            f"Write input_size = {right[0] if right[0] == right[1] else right}",
        )
    return declared.input_size


def _agreed_channels(count: int, layout: Layout, declared: Declaration) -> tuple[Channels, int]:
    if count not in (-1, 1, 3):
        other = {"NHWC": "NCHW", "NCHW": "NHWC"}.get(layout)
        raise DeclarationError(
            f"The model takes {count} channels in the layout {layout}, but an image has 3, or 1 if it is grey.",
            f"Write layout = {other!r}, or a class with a preprocess_input." if other else "",
        )
    channels = declared.channels or ("grey" if count == 1 else "RGB")
    if channels != "grey" and count == 1:
        raise DeclarationError(f"channels is {channels!r}, but the model takes one channel.", "Write channels = 'grey'")
    if count == -1:
        count = 1 if channels == "grey" else 3
    return channels, count


def _check_numbers(channels: int, declared: Declaration) -> None:
    for name, value in (("mean", declared.mean), ("scale", declared.scale)):
        if isinstance(value, tuple) and len(value) != channels:
            raise DeclarationError(
                f"{name} has {len(value)} numbers, but the model takes {channels} channels.",
                f"Write one number for {name}, or {channels}.",
            )


def _check_range(tensor: Tensor, declared: Declaration) -> None:
    """Check that the mean and the scale fit signed integers, which are quantized."""
    if tensor.dtype not in _SIGNED:
        return
    ends = [(pixel - np.asarray(declared.mean)) / np.asarray(declared.scale) for pixel in (0, 255)]
    low, high = round(float(np.min(ends))), round(float(np.max(ends)))
    end = 1 << (8 * np.dtype(_NUMPY[tensor.dtype]).itemsize - 1)
    if -end <= low and high < end and high - low >= _FEWEST_STEPS:
        return
    only = "" if high - low >= _FEWEST_STEPS else "only "
    raise DeclarationError(
        f"The model takes {tensor.dtype.removeprefix('DT_').lower()}, but pixels become {only}{low} to {high}.",
        "Write the mean and the scale of its quantization, such as mean = 128.0",
        missing="mean",
    )


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
