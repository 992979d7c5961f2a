"""Decodes bytes of a known format to an upright RGB image, in this process. encoded.py checks the limits first."""

import io
import struct
import zlib
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    ImageTooExpensiveError,
    InvalidImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import bmp_runs, deep, exif

PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
"""Each class is named, not looked up, so that no other decoder can run. decoder.py adds HEIC, in its own process."""

# What Pillow's decoders raise for damaged files, found by mutating files of every format.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,
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
"""EXIF orientation → the operation that makes the image upright (Exif 2.32, tag 0x0112). 1 is upright."""


_UNSUPPORTED = ("unknown pixel mode", "unknown data organization", "unsupported", "invalid value for samples per pixel")
"""How Pillow's messages begin, in lower case, for valid images of a kind that it cannot decode."""


class Request(NamedTuple):
    """What to decode, as read from the structure of the file."""

    format: str
    pixel_count: int
    orientation: int
    min_side: int | None


def decode(data: bytes, request: Request) -> Image.Image:
    """Decode the first image to mode RGB, upright.

    Transparency is dropped: a pixel has the colour that is stored under it. Pixels of more than 8 bits follow the rule
    of deep.py.

    Raises:
        DamagedImageError, TruncatedImageError, UnsupportedFormatError: the decoder cannot read all of the image.
    """
    try:
        image, orientation = _load(data, request)
        if deep.is_deep(image):
            image = deep.to_grey(image, is_negative=_is_negative(image))
        if (transpose := _UPRIGHT.get(orientation)) is not None:
            image = image.transpose(transpose)
        return image if image.mode == "RGB" else image.convert("RGB")
    except _DECODER_ERRORS as error:
        raise _translate(error) from error


def _translate(error: Exception) -> InvalidImageError:
    reason = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in reason:
        return TruncatedImageError(f"pixels: {error!r}")
    if reason.startswith(_UNSUPPORTED):
        detail = "This kind of pixels is not accepted. Save the image with 8 bits per channel, grey or RGB."
        return UnsupportedFormatError(f"pixels: {error!r}", detail=detail)
    if "security limit" in reason:  # from libheif
        return ImageTooExpensiveError(
            f"pixels: {error!r}", detail="This image is stored in too many parts. Save it again in an image editor."
        )
    return DamagedImageError(f"pixels: {error!r}")


def reduction(size: tuple[int, int], min_side: int | None) -> int:
    """Return the largest divisor of a JPEG's size (1, 2, 4 or 8) that keeps `min_side` pixels of the shorter side."""
    if not min_side:
        return 1
    return next(divisor for divisor in (8, 4, 2, 1) if divisor == 1 or min(size) // min_side >= divisor)


def _load(data: bytes, request: Request) -> tuple[Image.Image, int]:
    """Return the image and its orientation."""
    image = _open(data, request)
    if request.format == "JPEG":
        image.decodermaxblock = len(data)  # in blocks, libjpeg restarts at each block's end: quadratic in fill bytes
        if min_side := request.min_side:
            shorter = min(image.size)
            image.draft("RGB", (image.width * min_side // shorter, image.height * min_side // shorter))
    orientation = request.orientation
    if request.format == "AVIF":  # Pillow converts the container's properties to EXIF
        orientation = exif.read_orientation(image.info.get("exif", b"")) or 1
    rawmode = deep.rawmode(image)
    if rawmode == deep.GREY_WITH_ALPHA:
        return deep.load_grey_with_alpha(image), orientation
    true_type = deep.true_type(image)
    image.load()
    if true_type is not None:
        return deep.to_grey(image, dtype=true_type), orientation
    if rawmode in deep.PREMULTIPLIED and deep.white_bits_of_high_bytes(image) < deep.MAX_BITS:
        detail = "This image has 16 bits premultiplied by alpha, and uses few of them. Save it with 8 bits per channel."
        raise UnsupportedFormatError(f"pixels: {rawmode}", detail=detail)
    if rawmode not in deep.LOW_BYTES or (bits := deep.white_bits_of_high_bytes(image)) == deep.MAX_BITS:
        return image, orientation
    low = _open(data, request)
    deep.take_low_bytes(low)
    low.load()
    return deep.combine(image, low, bits), orientation


def _is_negative(image: Image.Image) -> bool:
    """Return whether a TIFF defines 0 as white. Pillow inverts grey of 8 bits, but not of more."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def _open(data: bytes, request: Request) -> ImageFile.ImageFile:
    image = PLUGINS[request.format](io.BytesIO(data))
    if image.width * image.height > request.pixel_count:
        raise DamagedImageError("larger than its structure says")
    bmp_runs.use(image)
    deep.correct_byte_order(image)
    return image
