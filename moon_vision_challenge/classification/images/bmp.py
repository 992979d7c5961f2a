"""Reads the structure of a BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types."""

import struct

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import bmp_runs
from moon_vision_challenge.classification.images.structure import PartCounter, Structure, pixel_bytes

_CORE_HEADER = 12
_HEADERS = (40, 52, 56, 64, 108, 124)
_RAW, _RLE8, _RLE4, _BITFIELDS = range(4)
_COMPRESSIONS = {_RAW: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 24, 32)}
_MAX_COLOURS = 256

# Seconds; measured, docs/images.md.
_S_PER_BYTE = 1e-9
_S_PER_PIXEL = 6e-9
_S_PER_RUN_BYTE = 15e-9
_S_PER_ESCAPE = 2e-6


def scan(data: bytes, counter: PartCounter) -> Structure:  # noqa: ARG001  # nothing to count: one header and the pixels
    """Read the header. An uncompressed bitmap must contain all its rows."""
    offset, header = struct.unpack_from("<II", data, 10)
    colours = compression = 0
    if header == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    elif header in _HEADERS:
        width, height, _, bits, compression = struct.unpack_from("<IiHHI", data, 18)
        (colours,) = struct.unpack_from("<I", data, 46)
        height = abs(height)
    else:
        raise DamagedImageError(f"BMP: a header of {header} bytes")
    if not 0 < width < 1 << 31 or not height:
        raise DamagedImageError("BMP: no pixels")
    if bits not in _COMPRESSIONS.get(compression, ()):
        raise UnsupportedFormatError(
            f"BMP: compression {compression}, {bits} bits",
            detail="This kind of BMP is not accepted. Save it without compression, or as a PNG.",
        )
    if bits <= 8 and colours > _MAX_COLOURS:
        raise DamagedImageError("BMP: palette")
    memory = pixel_bytes(width, height, 4 if bits > 8 else 1, is_rgb=bits > 8)
    if compression in (_RLE8, _RLE4):
        escapes = bmp_runs.count_escapes(data, offset)
        cpu_s = escapes * _S_PER_ESCAPE + len(data) * _S_PER_RUN_BYTE + 2 * width * height * _S_PER_PIXEL
        other = 2 * len(data) + 8 * escapes
        return Structure("BMP", width, height, cpu_s, memory + 2 * width * height, other, is_isolated=True)
    rows = (width * bits + 31) // 32 * 4 * height
    if max(offset, 14 + header) + rows > len(data):
        raise TruncatedImageError("BMP")
    return Structure("BMP", width, height, len(data) * _S_PER_BYTE + width * height * _S_PER_PIXEL, memory)
