"""BMPs with unusual run lengths, palettes, and headers, and icons that claim to be BMPs."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.bmp import bitmap
from chaos.corpus.case import Case, Verdict, encode, photo

_RLE8, _RLE4 = 1, 2
_END_OF_LINE, _END, _DELTA = b"\0\0", b"\0\1", b"\0\2"


def rows(width: int, height: int, bits: int, row: bytes) -> bytes:
    compression = _RLE8 if bits == 8 else _RLE4
    return bitmap(width, height, bits, compression, (row + _END_OF_LINE) * height + _END)


def dithered(width: int, height: int) -> bytes:
    """Return runs of one pixel, the most expensive valid encoding of an image."""
    return rows(width, height, 8, b"".join(bytes([1, level & 255]) for level in range(width)))


def absolute(width: int, height: int, bits: int) -> bytes:
    """Return pixels that are not in runs, 254 at a time."""
    size = 254 * bits // 8
    piece = b"\0\xfe" + bytes(level & 255 for level in range(size)) + b"\0" * (size & 1)
    return rows(width, height, bits, piece * (width // 254))


def early_ends(width: int, height: int) -> bytes:
    """Return one pixel of each row. The decoder fills in the rest."""
    return rows(width, height, 8, b"\1\1")


def deltas(width: int, height: int, *, right: int, up: int, count: int) -> bytes:
    pixels = (_DELTA + bytes([right, up])) * count
    return bitmap(width, height, 8, _RLE8, pixels + _END)


def compact(width: int, height: int, *, offset: int = 0) -> bytes:
    """Return a BMP with OS/2's header of 16 bytes."""
    pixels = bytes((width * 3 + 3) // 4 * 4 * height)
    start = offset or 30
    info = struct.pack("<IIIHH", 16, width, height, 1, 24)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + pixels


def array_of_bitmaps() -> bytes:
    return struct.pack("<2sIIHH", b"BA", 14, 0, 640, 480) + encode(photo(), "BMP")


def icon_in_bitmap() -> bytes:
    """Return the image of a Windows icon, which declares twice its height and contains a mask."""
    return bitmap(32, 64, 32, 0, bytes(32 * 32 * 4 + 32 * 4))


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"bmp: {name}", make, verdict)


CASES = (
    _case("RLE8, runs of one pixel", partial(dithered, 640, 480)),
    _case("RLE8, runs of one pixel, 4 megapixels", partial(dithered, 2400, 1700)),
    _case("RLE8, absolute", partial(absolute, 254 * 3, 480, 8)),
    _case("RLE4, absolute", partial(absolute, 254 * 3, 480, 4)),
    _case("RLE8, rows that end early, 20 megapixels", partial(early_ends, 5000, 4000)),
    _case("RLE8, rows that end early, 49 megapixels", partial(early_ends, 7000, 7000)),
    _case("RLE4, runs of 255", lambda: rows(255 * 4, 480, 4, b"\xff\x12" * 4)),
    _case("RLE4, runs of odd length", lambda: rows(300, 20, 4, b"\x07\x12" * 42 + b"\x06\x34")),
    _case("RLE8, runs beyond the row", lambda: rows(100, 20, 8, b"\xff\x12" * 4)),
    _case("RLE8, deltas of 255 rows", partial(deltas, 4000, 4000, right=0, up=250, count=16)),
    _case(
        "RLE8, a million deltas of nothing",
        partial(deltas, 64, 64, right=0, up=0, count=1_000_000),
        Verdict.TOO_EXPENSIVE,
    ),
    _case("RLE8, deltas of one row", partial(deltas, 64, 64, right=0, up=1, count=64)),
    _case("RLE8, delta beyond the picture", partial(deltas, 64, 64, right=255, up=255, count=900)),
    _case("RLE8, delta that is cut short", lambda: bitmap(64, 64, 8, _RLE8, _DELTA + b"\1"), Verdict.CUT_SHORT),
    _case(
        "RLE8, absolute that is cut short", lambda: bitmap(64, 64, 8, _RLE8, b"\0\xff" + bytes(9)), Verdict.CUT_SHORT
    ),
    _case("RLE8, end at once", lambda: bitmap(64, 64, 8, _RLE8, _END), Verdict.DAMAGED),
    _case("RLE8, top down", lambda: bitmap(8, -2, 8, _RLE8, (b"\x08\x33" + _END_OF_LINE) * 2 + _END)),
    _case("OS/2's header of 16 bytes", partial(compact, 32, 32), Verdict.DAMAGED),
    _case("array of bitmaps", array_of_bitmaps, Verdict.UNSUPPORTED),
    _case("an icon's picture", icon_in_bitmap, Verdict.CUT_SHORT),
    _case("pixels in the header", lambda: _with_offset(20), Verdict.CUT_SHORT),
    _case("1 x 65,535, 24 bits", lambda: bitmap(1, 65_535, 24, 0, bytes(4 * 65_535))),
    _case("65,536 columns", lambda: bitmap(65_536, 1, 8, 0, bytes(65_536)), Verdict.TOO_LARGE),
    _case("palette of 256 in 1 bit", lambda: bitmap(64, 64, 1, 0, bytes(8 * 64), colours=256)),
)


def _with_offset(offset: int) -> bytes:
    data = encode(photo(), "BMP")
    return data[:10] + struct.pack("<I", offset) + data[14:-60]
