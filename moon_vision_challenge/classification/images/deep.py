"""Pixels of more than 8 bits → 8 bits, by a rule that shows a picture whatever part of the range it uses.

Unsigned integers of 16 bits: white is the largest value of 8, 10, 12, 14 or 16 bits, whichever is the first that holds
all values. A camera of 12 bits that stores them in 16 gives the picture that it shows.
Floats from 0 to 1: 1 is white. Floats and longer integers within 0 to 65,535: as integers of 16 bits.
All others, negative ones among them: stretched from the smallest value, black, to the largest, white.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moon_vision_challenge.classification.exceptions import UnsupportedFormatError

_BITS = (8, 10, 12, 14, 16)
_BAND_PIXELS = 1_000_000
"""As many are brought to 8 bits at once: a band of float64 takes 8 MB."""


def is_deep(image: Image.Image) -> bool:
    """Whether a pixel is one number of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_grey(image: Image.Image) -> Image.Image:
    """One number a pixel → mode L. Raises UnsupportedFormatError for values that are not finite."""
    extrema = [(float(band.min()), float(band.max())) for _, band in _bands(image)]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    if not all(np.isfinite(value) for pair in extrema for value in pair):
        raise UnsupportedFormatError(
            "NaN or infinity", detail="This image has values that are not finite numbers. Save it with 8 or 16 bits."
        )
    black, factor = _scale(low, high, is_float=image.mode == "F")
    grey = Image.new("L", image.size)
    for top, band in _bands(image):
        values = np.clip((band - black) * factor, 0, 255).astype(np.uint8)
        grey.paste(Image.fromarray(values), (0, top))
    return grey


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


def _bands(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float64]]]:
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield top, np.asarray(image.crop(box)).astype(np.float64)
