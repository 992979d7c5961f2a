"""WebPs with false headers, and with expensive alpha, frames, and Huffman codes: RFC 9649."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.webp import animation, chunk, extended, frame, image_chunk, riff

_ALPHA, _ANIMATION = 0x10, 0x02


class _Bits:
    """A sequence of bits, lowest first, as in a lossless WebP."""

    def __init__(self) -> None:
        self._digits: list[str] = []

    def add(self, value: int, bits: int) -> None:
        self._digits.append(f"{value:0{bits}b}"[::-1])

    def code(self, digits: str) -> None:
        self._digits.append(digits)

    def digits(self) -> str:
        return "".join(self._digits)

    def to_bytes(self) -> bytes:
        digits = self.digits()
        return int(digits[::-1], 2).to_bytes((len(digits) + 7) // 8, "little")


def _simple_code(bits: _Bits, symbol: int) -> None:
    bits.add(1, 1)  # a simple code
    bits.add(0, 1)  # of one symbol
    bits.add(int(symbol > 1), 1)
    bits.add(symbol, 8 if symbol > 1 else 1)


def _code_of_eight_bits(bits: _Bits) -> None:
    """Add codes of 8 bits for all 256 values, and no codes for the 24 lengths of copies."""
    bits.add(0, 1)
    bits.add(12 - 4, 4)  # in the order 17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8: only 0 and 8 are used
    for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8):
        bits.add(int(symbol in (0, 8)), 3)
    bits.add(0, 1)  # all symbols
    bits.code("1" * 256 + "0" * 24)


def _code_of_many_symbols(bits: _Bits) -> None:
    """Code 256 values of green, 24 lengths of copies, and 2,048 cached colours: 1,768 codes of 11 bits, 560 of 12."""
    bits.add(0, 1)
    bits.add(15, 4)
    for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15):
        bits.add({16: 1, 11: 2, 12: 2}.get(symbol, 0), 3)
    bits.add(0, 1)  # all symbols
    six_more = "011"  # code 16: the previous length, six times
    bits.code("10" + six_more * 294 + "10" * 3 + "11" + six_more * 93 + "11")


def many_code_groups(side: int, *, are_large: bool = False) -> bytes:
    """Return a lossless image with a group of Huffman codes for each 4 x 4 pixels, up to 65,536 groups.

    Each code has one symbol. If they `are_large`, those of green have 2,328.
    """
    bits = _Bits()
    bits.add(0x2F, 8)
    bits.add(side - 1, 14)
    bits.add(side - 1, 14)
    bits.add(0, 4)  # no alpha, version 0
    bits.add(0, 1)  # no transform
    bits.add(are_large, 1)  # a cache of colours
    if are_large:
        bits.add(11, 4)
    bits.add(1, 1)  # several groups
    bits.add(0, 3)  # of 4 x 4 pixels
    bits.add(0, 1)  # the image of groups has no cache
    _code_of_eight_bits(bits)  # the low byte of a group's number
    _code_of_eight_bits_short(bits)
    _simple_code(bits, 0)
    _simple_code(bits, 0)
    _simple_code(bits, 0)
    blocks = (side // 4) ** 2
    for number in range(blocks):
        bits.code(f"{number & 255:08b}" + f"{number >> 8 & 255:08b}")
    group = _Bits()
    if are_large:
        _code_of_many_symbols(group)
    for _ in range(4 if are_large else 5):
        _simple_code(group, 0)
    bits.code(group.digits() * min(blocks, 1 << 16))
    data = bits.to_bytes() + bytes(2 * side * side if are_large else 8)
    return riff(chunk(b"VP8L", data))


def _code_of_eight_bits_short(bits: _Bits) -> None:
    """Do the same as `_code_of_eight_bits`, for the 256 values of red."""
    bits.add(0, 1)
    bits.add(12 - 4, 4)
    for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8):
        bits.add(int(symbol in (0, 8)), 3)
    bits.add(0, 1)
    bits.code("1" * 256)


def lying(flags: int, width: int, height: int) -> bytes:
    """Return an image of 320 x 240 with an extended header that declares another size."""
    return riff(extended(flags, width, height), image_chunk())


def with_alpha(alpha: bytes, *, width: int = 320, height: int = 240) -> bytes:
    return riff(extended(_ALPHA, width, height), chunk(b"ALPH", alpha), image_chunk(width, height))


def nested(count: int) -> bytes:
    """An animation whose first frame ends with unknown chunks."""
    inner = image_chunk() + chunk(b"teSt", b"") * count
    return riff(extended(_ANIMATION, 320, 240), chunk(b"ANIM", bytes(6)), frame(320, 240, inner))


def frame_that_lies(width: int, height: int) -> bytes:
    """Return a frame that declares another size than the image in it."""
    return riff(extended(_ANIMATION, 2000, 2000), chunk(b"ANIM", bytes(6)), frame(width, height, image_chunk()))


def riff_says(size: int) -> bytes:
    data = encode(photo(), "WEBP")
    return data[:4] + struct.pack("<I", size) + data[8:]


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"webp: {name}", make, verdict)


CASES = (
    _case("900 groups of Huffman codes", partial(many_code_groups, 120)),
    _case("16,384 groups of Huffman codes", partial(many_code_groups, 512), Verdict.DAMAGED),
    _case("65,536 groups of Huffman codes", partial(many_code_groups, 1024), Verdict.DAMAGED),
    _case("900 large groups of Huffman codes", partial(many_code_groups, 120, are_large=True)),
    _case("10,609 large groups of Huffman codes", partial(many_code_groups, 412, are_large=True), Verdict.DAMAGED),
    *[
        _case(f"header says {width:,} x {height:,}", partial(lying, 0, width, height), verdict)
        for width, height, verdict in (
            (1, 1, Verdict.DAMAGED),
            (321, 240, Verdict.DAMAGED),
            (4000, 3000, Verdict.DAMAGED),
            (1 << 24, 1 << 24, Verdict.TOO_LARGE),
        )
    ],
    _case("alpha of nothing", partial(with_alpha, b""), Verdict.DAMAGED),
    _case("alpha of an unknown method", partial(with_alpha, b"\3" + bytes(100)), Verdict.DAMAGED),
    _case("alpha, raw", partial(with_alpha, b"\0" + bytes(320 * 240))),
    _case("alpha, raw, with a gradient filter", partial(with_alpha, b"\x0c" + bytes(320 * 240))),
    _case("alpha, raw, cut short", partial(with_alpha, b"\0" + bytes(320 * 100)), Verdict.DAMAGED),
    _case("90,000 chunks in a frame", partial(nested, 90_000)),
    _case("2 million chunks in a frame", partial(nested, 2_000_000)),
    _case("a frame says 2,000 squared", partial(frame_that_lies, 2000, 2000)),
    _case("a frame says one pixel", partial(frame_that_lies, 1, 1)),
    _case("a still image that says it is animated", partial(lying, _ANIMATION, 320, 240), Verdict.DAMAGED),
    _case(
        "frames without the flag",
        lambda: animation(3).replace(b"VP8X\x0a\0\0\0\x02", b"VP8X\x0a\0\0\0\0"),
        Verdict.DAMAGED,
    ),
    _case("file that says 4 GB", partial(riff_says, 0xFFFFFFFE), Verdict.CUT_SHORT),
    _case("file that says 8 bytes", partial(riff_says, 8), Verdict.CUT_SHORT),
    _case("lossy data cut at the first partition", lambda: _cut_chunk(30), Verdict.DAMAGED),
)


def _cut_chunk(size: int) -> bytes:
    """Return a complete file whose image ends after `size` bytes."""
    return riff(chunk(b"VP8 ", image_chunk()[8 : 8 + size]))
