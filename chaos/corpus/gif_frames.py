"""GIFs with unusual frames, extensions, and codes: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct
from collections.abc import Callable, Sequence
from functools import partial

from chaos.corpus.case import Case, Verdict
from chaos.corpus.gif import after_image, before_image, image, screen, sub_blocks

_CONTROL = b"!\xf9\4\0\0\0\0\0"
_LOOP = b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"


def packed(codes: Sequence[int], bits: int) -> bytes:
    value = sum(code << (bits * index) for index, code in enumerate(codes))
    return value.to_bytes((bits * len(codes) + 7) // 8, "little")


def coded(width: int, height: int, code_bits: int, codes: bytes, *, flags: int = 0) -> bytes:
    """Return an image of one frame whose LZW data declares this code size."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, flags) + bytes([code_bits]) + sub_blocks(codes)
    return screen(width, height) + frame + b";"


def long_strings(width: int, height: int, *, flags: int = 0) -> bytes:
    """Return one colour in its shortest encoding: each string is one pixel longer than the previous one."""
    codes: list[tuple[int, int]] = [(256, 9), (0, 9)]
    done, following, bits = 1, 258, 9
    while done < width * height:
        if following < 4096:
            codes.append((following, bits))
            done += following - 256
            following += 1
            bits = 12 if following > 2047 else 11 if following > 1023 else 10 if following > 511 else 9
        else:
            codes.append((256, 12))
            codes.append((0, 9))
            done, following, bits = done + 1, 258, 9
    codes.append((257, bits))
    value = position = 0
    for code, size in codes:
        value |= code << position
        position += size
    return coded(width, height, 8, value.to_bytes((position + 7) // 8, "little"), flags=flags)


def frames(count: int, side: int = 1) -> bytes:
    one = _CONTROL + image(0, 0, side, side, packed([256, *[0] * min(side * side, 200), 257], 9))
    return screen(64, 64) + one * count + b";"


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"gif: {name}", make, verdict)


CASES = (
    _case("600,000 frames of one pixel", partial(frames, 600_000)),
    _case("a frame before the screen's size is filled", partial(frames, 1, 14)),
    _case("90,000 loops", lambda: before_image(_LOOP * 30_000)),
    _case("a million loops", lambda: before_image(_LOOP * 1_000_000), Verdict.TOO_EXPENSIVE),
    _case("plain text", lambda: before_image(b"!\1\x0c" + bytes(12) + sub_blocks(b"text" * 5000))),
    _case("unknown extension of 5 MB", lambda: before_image(b"!\x77" + sub_blocks(bytes(5_000_000)))),
    _case(
        "extension that does not end", lambda: screen(64, 64) + b"!\x77" + (b"\xff" + bytes(255)) * 9, Verdict.CUT_SHORT
    ),
    _case("long strings, 2,000 squared", partial(long_strings, 2000, 2000)),
    _case("long strings, 2,000 squared, interlaced", partial(long_strings, 2000, 2000, flags=0x40)),
    _case("long strings, 7,000 squared", partial(long_strings, 7000, 7000)),
    *[_case(f"codes of {bits} bits", partial(coded, 16, 16, bits, bytes(400)), Verdict.DAMAGED) for bits in (13, 255)],
    _case("codes of 0 bits", lambda: coded(16, 16, 0, bytes(400))),
    _case("codes of 2 bits", lambda: coded(8, 8, 2, packed([4, *[1, 4] * 64, 5], 3))),
    _case("a code that is not in the table", lambda: coded(8, 8, 8, packed([256, 0, 500], 9)), Verdict.DAMAGED),
    _case("an end of codes at once", lambda: coded(8, 8, 8, packed([256, 257], 9)), Verdict.CUT_SHORT),
    _case(
        "image behind a local palette that is cut short",
        lambda: screen(8, 8) + b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0x87) + bytes(50),
        Verdict.CUT_SHORT,
    ),
    _case("19 MB of images behind the first", lambda: after_image(image(0, 0, 64, 64, bytes(250)) * 70_000)),
    _case("a screen without size", lambda: screen(0, 0) + before_image(b"")[len(screen(0, 0)) :]),
)
