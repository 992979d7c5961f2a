"""BMPs: https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

_RLE8, _RLE4 = 1, 2
_PALETTE = b"".join(bytes([level, level // 2, 255 - level, 0]) for level in range(256))


def bitmap(
    width: int, height: int, bits: int, compression: int, pixels: bytes, *, colours: int = 0, header: int = 40
) -> bytes:
    palette = _PALETTE[: 4 << bits] if bits <= 8 else b""
    offset = 14 + header + len(palette)
    info = struct.pack("<IiiHHIIIIII", header, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0)
    return (
        struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + info.ljust(header, b"\0") + palette + pixels
    )


def core(width: int, height: int) -> bytes:
    """Return a BMP with OS/2's header."""
    rows = bytes((width * 3 + 3) // 4 * 4 * height)
    return (
        struct.pack("<2sIHHI", b"BM", 26 + len(rows), 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + rows
    )


def runs(width: int, height: int) -> bytes:
    """Return RLE8 rows of one colour each."""
    row = b"\xff\x40" * (width // 255) + bytes([width % 255, 0x40]) + b"\0\0"
    return row * height + b"\0\1"


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"bmp: {name}", make, verdict)


def _cases() -> list[Case]:
    data = encode(photo(), "BMP")
    rows24 = bytes(32 * 3 * 32)
    cases = [
        _case("RLE8 of 50 million x 1 in 1 kB", lambda: bitmap(50_000_000, 1, 8, _RLE8, b"\0\0"), Verdict.TOO_LARGE),
        _case("RLE4 of 7,000 squared in 1 kB", lambda: bitmap(7000, 7000, 4, _RLE4, b"\0\0" * 500), Verdict.CUT_SHORT),
        _case(
            "RLE8 with 20 MB of ends of line",
            lambda: bitmap(64, 64, 8, _RLE8, b"\0\0" * 10_000_000),
            Verdict.TOO_EXPENSIVE,
        ),
        _case(
            "RLE8 with 20 MB of runs beyond the row",
            lambda: bitmap(64, 64, 8, _RLE8, b"\xff\1" * 10_000_000),
            Verdict.CUT_SHORT,
        ),
        _case("RLE8 of a screen", lambda: bitmap(640, 480, 8, _RLE8, runs(640, 480))),
        _case("RLE8 that ends too early", lambda: bitmap(640, 480, 8, _RLE8, runs(640, 100)), Verdict.DAMAGED),
        _case("JPEG in a BMP", lambda: bitmap(64, 64, 24, 4, bytes(100)), Verdict.UNSUPPORTED),
        _case("PNG in a BMP", lambda: bitmap(64, 64, 24, 5, bytes(100)), Verdict.UNSUPPORTED),
        _case("RLE8 of 24 bits", lambda: bitmap(64, 64, 24, _RLE8, bytes(100)), Verdict.UNSUPPORTED),
        _case("7 bits", lambda: bitmap(64, 64, 7, 0, bytes(9000)), Verdict.UNSUPPORTED),
        _case("2 billion columns", lambda: bitmap(2_000_000_000, 1, 1, 0, b""), Verdict.CUT_SHORT),
        _case("no rows", lambda: bitmap(64, 0, 24, 0, b""), Verdict.DAMAGED),
        _case("negative width", lambda: bitmap(-64, 64, 24, 0, rows24), Verdict.DAMAGED),
        _case("top down", lambda: bitmap(32, -32, 24, 0, rows24)),
        _case("4 billion colours", lambda: bitmap(64, 64, 8, 0, bytes(4096), colours=0xFFFFFFFF), Verdict.DAMAGED),
        _case("a header of 41 bytes", lambda: bitmap(32, 32, 24, 0, rows24, header=41), Verdict.DAMAGED),
        _case("OS/2's header", partial(core, 32, 32)),
        _case("bit fields without masks", lambda: bitmap(32, 32, 32, 3, b"\xff" * 4096), Verdict.UNSUPPORTED),
        _case("16 bits", lambda: bitmap(32, 32, 16, 0, bytes(2048))),
        _case("offset behind the end", lambda: data[:10] + b"\xff\xff\xff\x7f" + data[14:], Verdict.CUT_SHORT),
        _case("only the signature", lambda: b"BM", Verdict.CUT_SHORT),
    ]
    cases += [
        _case(f"a header of {size} bytes", partial(bitmap, 32, 32, 24, 0, rows24, header=size))
        for size in (40, 52, 56, 64, 108, 124)
    ]
    cases += cut_short("bmp", data)
    return cases


CASES = tuple(_cases())
