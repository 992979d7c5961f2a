"""Converts pixels of more than 8 bits to 8 bits, so that an image is visible whatever part of the range it uses.

16-bit unsigned integers: white is the largest value of 8, 10, 12, 14 or 16 bits, whichever is the first that holds all
values. So a camera's 12-bit data, stored in 16 bits, looks as it does on the camera.
16-bit colours: the same, with one white for all three. 16-bit inks: 65,535 is full ink.
Floats from 0 to 1: 1 is white. Floats and longer integers from 0 to 65,535: the same as 16-bit integers.
All other values, such as negative ones: stretched, so that the smallest is black and the largest is white.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, TiffImagePlugin
from PIL.TiffImagePlugin import SAMPLEFORMAT

from moon_vision_challenge.classification.exceptions import UnsupportedFormatError

_SIGNED = 2  # a value of the tag SampleFormat
_BITS = (8, 10, 12, 14, 16)
MAX_BITS = _BITS[-1]
LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBX", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}
"""Pillow keeps the high byte of a colour. With the opposite byte order, it keeps the low byte."""
GREY_WITH_ALPHA = "LA;16B"
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
"""libtiff decompresses to the byte order of this machine. Pillow accounts for that only for unsigned integers."""
PREMULTIPLIED = ("RGBa;16L", "RGBa;16B", "RGBa;16N")

_BAND_PIXELS = 1_000_000
"""The number of pixels that are converted at a time: a band of float64 takes 8 MB."""


def is_deep(image: Image.Image) -> bool:
    """Return whether a pixel is a single number of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def true_type(image: ImageFile.ImageFile) -> np.dtype[Any] | None:
    """Return the type of the pixels if Pillow has no mode for it and reads the bytes as another type."""
    if rawmode(image) == "I;32N":
        return np.dtype(np.uint32)
    is_signed = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(SAMPLEFORMAT) == (_SIGNED,)
    return np.dtype(np.int8) if is_signed and image.mode == "L" else None


def to_grey(image: Image.Image, *, is_negative: bool = False, dtype: np.dtype[Any] | None = None) -> Image.Image:
    """Convert an image with one number per pixel to mode L. Raises UnsupportedFormatError if a value is not finite.

    Args:
        is_negative: whether 0 is white.
        dtype: what `true_type` returned before the pixels were read.
    """
    extrema = [(float(band.min()), float(band.max())) for _, band in _bands(image, dtype)]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    if not all(np.isfinite(value) for pair in extrema for value in pair):
        raise UnsupportedFormatError(
            "NaN or infinity", detail="This image has values that are not finite numbers. Save it with 8 or 16 bits."
        )
    black, factor = _scale(low, high, is_float=image.mode == "F")
    grey = Image.new("L", image.size)
    for top, band in _bands(image, dtype):
        values = np.clip((band - black) * factor, 0, 255).astype(np.uint8)
        grey.paste(Image.fromarray(255 - values if is_negative else values), (0, top))
    return grey


def rawmode(image: ImageFile.ImageFile) -> str:
    """Return how Pillow unpacks the pixels of an opened image. Empty if the tiles differ."""
    found = {tile.args if isinstance(tile.args, str) else str(tile.args[0]) for tile in image.tile if tile.args}
    return found.pop() if len(found) == 1 else ""


def correct_byte_order(image: ImageFile.ImageFile) -> None:
    if rawmode(image) in _NATIVE and image.tile[0].codec_name == "libtiff":
        image.tile = [_unpacked_by(_NATIVE, tile) for tile in image.tile]


def take_low_bytes(image: ImageFile.ImageFile) -> None:
    """Make Pillow keep the low bytes of an image whose `rawmode` is in LOW_BYTES."""
    image.tile = [_unpacked_by(LOW_BYTES, tile) for tile in image.tile]


def _unpacked_by(modes: Mapping[str, str], tile: "ImageFile._Tile") -> "ImageFile._Tile":
    if isinstance(tile.args, str):
        return tile._replace(args=modes[tile.args])
    assert tile.args is not None  # noqa: S101  # it has a rawmode
    return tile._replace(args=(modes[tile.args[0]], *tile.args[1:]))


def white_bits_of_high_bytes(image: Image.Image) -> int:
    """Return `white_bits` for all 16-bit colours, given an image of their high bytes."""
    highest = max(int(band.getextrema()[1]) for band in image.split()[:3])  # type: ignore[arg-type]  # one band
    return white_bits(highest << 8 | 0xFF)


def load_grey_with_alpha(image: ImageFile.ImageFile) -> Image.Image:
    """Load 16-bit grey with alpha as 8 bits without alpha. Pillow cannot read only the low bytes, so it reads all."""
    image._mode = "RGBA"  # the high and the low byte of grey, then those of alpha
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    image.load()
    high, low = image.getchannel("R"), image.getchannel("G")
    return combine(high, low, white_bits_of_high_bytes(high))


def combine(high: Image.Image, low: Image.Image, bits: int) -> Image.Image:
    """Combine the high and low bytes of colours that use `bits` bits into 8 bits."""
    if bits == _BITS[0]:
        return low.convert("RGB")
    combined = Image.new("RGB", high.size)
    for box in _boxes(high.size):
        upper = high.crop(box).convert("RGB").point(lambda value: value << (16 - bits) & 0xFF)
        lower = low.crop(box).convert("RGB").point(lambda value: value >> (bits - 8))
        combined.paste(ImageChops.add(upper, lower), box)
    return combined


def white_bits(high: float) -> int:
    """Return the number of bits of the white value, for integers up to 65,535."""
    return next(bits for bits in _BITS if high < 1 << bits)


def _scale(low: float, high: float, *, is_float: bool) -> tuple[float, float]:
    """Return the value that becomes 0, and the factor for the distance from it."""
    if low >= 0 and is_float and high <= 1:
        return 0.0, 255.999
    if low >= 0 and high < 1 << 16:
        return 0.0, 256 / (1 << white_bits(high))
    return low, 255.999 / max(high - low, 1e-30)


def _bands(image: Image.Image, dtype: np.dtype[Any] | None) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for box in _boxes(image.size):
        band = np.asarray(image.crop(box))
        yield box[1], (band if dtype is None else band.view(dtype)).astype(np.float64)


def _boxes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)
