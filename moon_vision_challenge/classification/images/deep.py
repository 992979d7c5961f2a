"""Pixels of more than 8 bits → 8 bits, by a rule that shows a picture whatever part of the range it uses.

Unsigned integers of 16 bits: white is the largest value of 8, 10, 12, 14 or 16 bits, whichever is the first that holds
all values. A camera of 12 bits that stores them in 16 gives the picture that it shows.
Colours of 16 bits: the same, with one white for all three. Inks of 16 bits: 65,535 is all of the ink.
Floats from 0 to 1: 1 is white. Floats and longer integers within 0 to 65,535: as integers of 16 bits.
All others, negative ones among them: stretched from the smallest value, black, to the largest, white.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, TiffImagePlugin
from PIL.TiffImagePlugin import SAMPLEFORMAT

from moon_vision_challenge.classification.exceptions import UnsupportedFormatError

_SIGNED = 2  # of the tag SampleFormat
_BITS = (8, 10, 12, 14, 16)
MAX_BITS = _BITS[-1]
LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBX", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}
"""Pillow keeps the high byte of a colour. In the other byte order it keeps the low one."""
GREY_WITH_ALPHA = "LA;16B"
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
"""libtiff decompresses to the byte order of this machine. Pillow knows that for unsigned integers only."""
PREMULTIPLIED = ("RGBa;16L", "RGBa;16B", "RGBa;16N")

_BAND_PIXELS = 1_000_000
"""As many are brought to 8 bits at once: a band of float64 takes 8 MB."""


def is_deep(image: Image.Image) -> bool:
    """Whether a pixel is one number of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def true_type(image: ImageFile.ImageFile) -> np.dtype[Any] | None:
    """The type of the pixels, if Pillow has no mode for it and reads the bytes as another one."""
    if rawmode(image) == "I;32N":
        return np.dtype(np.uint32)
    is_signed = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(SAMPLEFORMAT) == (_SIGNED,)
    return np.dtype(np.int8) if is_signed and image.mode == "L" else None


def to_grey(image: Image.Image, *, is_negative: bool = False, dtype: np.dtype[Any] | None = None) -> Image.Image:
    """One number a pixel → mode L. Raises UnsupportedFormatError for values that are not finite.

    Args:
        is_negative: 0 is white.
        dtype: what `true_type` said before the pixels were read.
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
    """How Pillow unpacks the pixels of an opened image; empty if not all tiles are the same."""
    found = {tile.args if isinstance(tile.args, str) else str(tile.args[0]) for tile in image.tile if tile.args}
    return found.pop() if len(found) == 1 else ""


def correct_byte_order(image: ImageFile.ImageFile) -> None:
    if rawmode(image) in _NATIVE and image.tile[0].codec_name == "libtiff":
        image.tile = [_unpacked_by(_NATIVE, tile) for tile in image.tile]


def take_low_bytes(image: ImageFile.ImageFile) -> None:
    """Of an image whose `rawmode` is in LOW_BYTES."""
    image.tile = [_unpacked_by(LOW_BYTES, tile) for tile in image.tile]


def _unpacked_by(modes: Mapping[str, str], tile: "ImageFile._Tile") -> "ImageFile._Tile":
    if isinstance(tile.args, str):
        return tile._replace(args=modes[tile.args])
    assert tile.args is not None  # noqa: S101  # it has a rawmode
    return tile._replace(args=(modes[tile.args[0]], *tile.args[1:]))


def white_bits_of_high_bytes(image: Image.Image) -> int:
    """`white_bits` of all colours of 16 bits, of which the image has the high bytes."""
    highest = max(int(band.getextrema()[1]) for band in image.split()[:3])  # type: ignore[arg-type]  # of one band
    return white_bits(highest << 8 | 0xFF)


def load_grey_with_alpha(image: ImageFile.ImageFile) -> Image.Image:
    """Grey and alpha of 16 bits → 8 bits, without alpha. Pillow has no way to read the low bytes, so it reads all."""
    image._mode = "RGBA"  # the high and the low byte of grey, then those of alpha
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    image.load()
    high, low = image.getchannel("R"), image.getchannel("G")
    return combine(high, low, white_bits_of_high_bytes(high))


def combine(high: Image.Image, low: Image.Image, bits: int) -> Image.Image:
    """The high and the low bytes of colours of which `bits` are used → 8 bits."""
    if bits == _BITS[0]:
        return low.convert("RGB")
    combined = Image.new("RGB", high.size)
    for box in _boxes(high.size):
        upper = high.crop(box).convert("RGB").point(lambda value: value << (16 - bits) & 0xFF)
        lower = low.crop(box).convert("RGB").point(lambda value: value >> (bits - 8))
        combined.paste(ImageChops.add(upper, lower), box)
    return combined


def white_bits(high: float) -> int:
    """The bits of the value that is white, of integers up to 65,535."""
    return next(bits for bits in _BITS if high < 1 << bits)


def _scale(low: float, high: float, *, is_float: bool) -> tuple[float, float]:
    """The value that becomes 0, and what the distance from it is multiplied by."""
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
