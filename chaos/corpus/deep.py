"""Images with more than 8 bits per sample: the same photo in different parts of the range."""

import struct
import zlib
from collections.abc import Callable
from functools import partial

from PIL import Image

from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.png import chunk, header
from chaos.corpus.tiff import strips

_FLOAT = (339, 3, [3])
_SIGNED = (339, 3, [2])


def scaled(mode: str, low: float, high: float, image_format: str = "TIFF") -> bytes:
    """Return the grey photo, with `low` for black and `high` for white."""
    factor = (high - low) / 255
    grey = photo(mode="L")
    if mode == "I;16":
        raw = struct.pack(f"<{320 * 240}H", *[round(low + level * factor) for level in grey.tobytes()])
        return encode(Image.frombytes("I;16", grey.size, raw), image_format)
    code = "f" if mode == "F" else "i"
    values = [low + level * factor for level in grey.tobytes()]
    raw = struct.pack(f"<{320 * 240}{code}", *(values if code == "f" else map(round, values)))
    kind = _FLOAT if code == "f" else _SIGNED
    return strips(320, 240, kind, pixels=raw, bits=32)


def rgb16(bits: int) -> bytes:
    """Return the photo in colour, with `bits` of 16 bits in use."""
    raw = b"".join(struct.pack("<H", level << bits - 8) for level in photo().tobytes())
    return strips(320, 240, (258, 3, [16] * 3), (262, 3, [2]), (277, 3, [3]), pixels=raw)


def png_rgb16(bits: int) -> bytes:
    row_bytes = 320 * 3
    levels = photo().tobytes()
    rows = b""
    for top in range(240):
        row = levels[top * row_bytes : (top + 1) * row_bytes]
        rows += b"\0" + b"".join(struct.pack(">H", level << bits - 8) for level in row)
    return header(320, 240, 16, 2) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"deep: {name}", make, verdict)


CASES = (
    *[
        _case(f"grey, {bits} bits in 16, {name}", partial(scaled, "I;16", 0, (1 << bits) - 1, name))
        for bits in (8, 10, 12, 14, 16)
        for name in ("TIFF", "PNG")
    ],
    *[_case(f"RGB, {bits} bits in 16, TIFF", partial(rgb16, bits)) for bits in (8, 10, 12, 14, 16)],
    *[_case(f"RGB, {bits} bits in 16, PNG", partial(png_rgb16, bits)) for bits in (8, 10, 12, 14, 16)],
    *[
        _case(f"float, {low} to {high}", partial(scaled, "F", low, high))
        for low, high in ((0, 1), (0, 255), (0, 65_535), (-1, 1), (0, 1e9), (-1000, 3000))
    ],
    *[
        _case(f"integers of 32 bits, {low} to {high}", partial(scaled, "I", low, high))
        for low, high in ((0, 255), (0, 4095), (0, 65_535), (0, 2**31 - 1), (-1000, 3000))
    ],
    _case(
        "float, not a number",
        lambda: strips(64, 64, _FLOAT, pixels=struct.pack("<f", float("nan")) * 4096, bits=32),
        Verdict.UNSUPPORTED,
    ),
    _case(
        "float, infinite",
        lambda: strips(64, 64, _FLOAT, pixels=struct.pack("<ff", 0, float("inf")) * 2048, bits=32),
        Verdict.UNSUPPORTED,
    ),
    _case("float of 64 bits", lambda: strips(64, 64, _FLOAT, pixels=bytes(8 * 4096), bits=64), Verdict.UNSUPPORTED),
)
