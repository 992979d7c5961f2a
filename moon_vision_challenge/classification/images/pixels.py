"""Bytes of a known format → an upright RGB image, in this process. No limits in here: encoded.py has checked them."""

import io
import struct
import zlib

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from moon_vision_challenge.classification.exceptions import DamagedImageError, TruncatedImageError
from moon_vision_challenge.classification.images import deep

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
"""The class is named, not looked up: no other decoder can be made to run."""

# What Pillow's decoders raise for damaged files, as mutating files of every format has shown.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what makes the image upright (Exif 2.32, tag 0x0112). 1 is upright."""


def decode(data: bytes, image_format: str, *, orientation: int = 1, min_side: int | None = None) -> Image.Image:
    """Decode the first image: mode RGB, upright.

    Transparency is dropped: a pixel has the colour that is stored under it. Pixels of more than 8 bits follow the rule
    of deep.py.

    Raises:
        DamagedImageError, TruncatedImageError, UnsupportedFormatError: the decoder cannot read it, or not whole.
    """
    try:
        image: Image.Image = _load(data, image_format, min_side)
        if deep.is_deep(image):
            image = deep.to_grey(image)
        if (transpose := _UPRIGHT.get(orientation)) is not None:
            image = image.transpose(transpose)
        return image if image.mode == "RGB" else image.convert("RGB")
    except _DECODER_ERRORS as error:
        is_short = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise (TruncatedImageError if is_short else DamagedImageError)(f"pixels: {error!r}") from error


def reduction(size: tuple[int, int], min_side: int | None) -> int:
    """Of 1, 2, 4 and 8, the largest divisor of a JPEG's size that keeps `min_side` pixels of the shorter side."""
    if not min_side:
        return 1
    return next(divisor for divisor in (8, 4, 2, 1) if divisor == 1 or min(size) // min_side >= divisor)


def _load(data: bytes, image_format: str, min_side: int | None) -> ImageFile.ImageFile:
    image = _PLUGINS[image_format](io.BytesIO(data))
    if image_format == "JPEG":
        # All at once. In blocks, libjpeg goes back to the last marker whenever one ends: quadratic in fill bytes.
        image.decodermaxblock = len(data)
        if min_side:
            shorter = min(image.size)
            image.draft("RGB", (image.width * min_side // shorter, image.height * min_side // shorter))
    image.load()
    return image
