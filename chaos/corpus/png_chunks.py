"""PNGs and APNGs with unusual chunks and compressed data: https://www.w3.org/TR/png-3/ and RFC 1951."""

import struct
import zlib
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.png import after_header, before_end, chunk, header

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: the first column and row of each pass, and its steps."""
_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ZEROS = 1 << 20


def filtered(
    width: int, height: int, depth: int, colour: int, *, row_filter: int = 4, is_interlaced: bool = False
) -> bytes:
    """Return an image of zeros, with the same filter for each row. 4 is Paeth's, the slowest."""
    packer = zlib.compressobj(9)
    pixels = b""
    for x, y, across, down in _PASSES if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(x, width, across)), len(range(y, height, down))
        row = bytes([row_filter]) + bytes((columns * depth * _BANDS[colour] + 7) // 8)
        at_once = max(1, _ZEROS // len(row))
        while columns and rows > 0:
            pixels += packer.compress(row * min(rows, at_once))
            rows -= at_once
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    pixels += packer.flush()
    return header(width, height, depth, colour, int(is_interlaced)) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND")


def empty_pixel_chunks(count: int, *, where: int) -> bytes:
    """Put empty IDATs before (0), amid (1), or after (2) the pixels."""
    pixels = zlib.compress(bytes(241 * 320))
    cut = (0, len(pixels) // 2, len(pixels))[where]
    parts = chunk(b"IDAT", pixels[:cut]), chunk(b"IDAT") * count, chunk(b"IDAT", pixels[cut:])
    return header(320, 240) + b"".join(parts) + chunk(b"IEND")


def extra_pixels(size: int) -> bytes:
    """Return an image whose compressed data continues after the last row."""
    return header(320, 240) + chunk(b"IDAT", zlib.compress(bytes(241 * 320 + size), 9)) + chunk(b"IEND")


def dynamic_blocks(size: int) -> bytes:
    """Add empty blocks of 28 bytes. Each defines Huffman codes of up to 15 bits: the decoder rebuilds its tables."""
    raw = zlib.compress(bytes(241 * 320))
    blocks = _EIGHT_DYNAMIC_BLOCKS * (size // len(_EIGHT_DYNAMIC_BLOCKS))
    return header(320, 240) + chunk(b"IDAT", raw[:2] + blocks + raw[2:]) + chunk(b"IEND")


def _codes(lengths: list[int]) -> dict[int, str]:
    """Return the code of each symbol as bits: RFC 1951, section 3.2.2."""
    codes, code = {}, 0
    for length in range(1, 16):
        for symbol in (symbol for symbol, its in enumerate(lengths) if its == length):
            codes[symbol] = f"{code:0{length}b}"
            code += 1
        code <<= 1
    return codes


def _dynamic_block() -> str:
    literals = [*range(2, 16), 15, *[0] * 241, 1]  # the last one is the end of the block, with 1 bit
    distances = [*range(1, 16), 15]
    of_lengths = [int(symbol not in (0, 16, 17)) * 4 for symbol in range(19)]
    codes = _codes(of_lengths)

    def number(value: int, bits: int) -> str:
        return f"{value:0{bits}b}"[::-1]

    zeros = "".join(codes[18] + number(count - 11, 7) for count in (138, 103))
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
    head = "0" + number(2, 2) + number(0, 5) + number(15, 5) + number(15, 4)
    head += "".join(number(of_lengths[symbol], 3) for symbol in order)
    body = "".join(codes[length] for length in literals[:15]) + zeros + codes[1]
    return head + body + "".join(codes[length] for length in distances) + _codes(literals)[256]


_BITS = _dynamic_block() * 8
_EIGHT_DYNAMIC_BLOCKS = int(_BITS[::-1], 2).to_bytes(len(_BITS) // 8, "little")


def frame_control(number: int, width: int, height: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 20, 0, 0))


def animated(frames: int, size: tuple[int, int]) -> bytes:
    """Return a still image with frames that each inflate to a lot of data."""
    rows = zlib.compress(bytes((1 + size[0]) * size[1]), 9)
    count = chunk(b"acTL", struct.pack(">II", frames, 0))
    each = b"".join(
        frame_control(2 * index, *size) + chunk(b"fdAT", struct.pack(">I", 2 * index + 1) + rows)
        for index in range(frames)
    )
    data = header(320, 240) + count + chunk(b"IDAT", zlib.compress(bytes(241 * 320)))
    return data + each + chunk(b"IEND")


def profile(size: int) -> bytes:
    return after_header(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(size), 9)))


def compressed_profile() -> bytes:
    """Return a text of 123 bytes that inflates to 32,768 words, where readers look for an orientation."""
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"a " * 32_768, 9))


def compressed_xmp() -> bytes:
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"tiff:Orientation>" * 3800, 9))


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"png: {name}", make, verdict)


def _chunk_cases() -> list[Case]:
    return [
        *[
            _case(f"50,000 empty chunks of pixels, place {where}", partial(empty_pixel_chunks, 50_000, where=where))
            for where in range(3)
        ],
        _case("500,000 empty chunks of pixels", partial(empty_pixel_chunks, 500_000, where=0), Verdict.TOO_EXPENSIVE),
        _case("400 MB of pixels too many", partial(extra_pixels, 400_000_000)),
        _case("1,000 palettes", lambda: after_header(chunk(b"PLTE", bytes(768)) * 1000)),
        _case("90,000 empty palettes", lambda: after_header(chunk(b"PLTE") * 90_000)),
        _case("profile that inflates to 900 MB", partial(profile, 900_000_000)),
        _case(
            "20 profiles of 50 MB",
            lambda: after_header(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000), 9)) * 20),
        ),
        _case("90,000 EXIF profiles that inflate", lambda: after_header(compressed_profile() * 90_000)),
        _case("80,000 XMP packets that inflate", lambda: after_header(compressed_xmp() * 80_000)),
        _case("frames before the pixels", lambda: after_header(frame_control(0, 320, 240) + chunk(b"acTL", bytes(8)))),
        _case("500 frames of 7,000 squared", partial(animated, 500, (7000, 700))),
        _case("40,000 frame controls", lambda: before_end(frame_control(0, 320, 240) * 40_000)),
        _case("frame data without a number", lambda: before_end(chunk(b"fdAT"))),
        _case("suggested palettes", lambda: after_header(chunk(b"sPLT", b"p\0\x10" + bytes(2_000_000)) * 5)),
        _case("two headers", lambda: after_header(header(9, 9)[8:])),
        _case("chunk that says 2 GB", lambda: after_header(b"\x7f\xff\xff\xfftEXt"), Verdict.CUT_SHORT),
        _case("chunk that says 4 GB", lambda: after_header(b"\xff\xff\xff\xfftEXt"), Verdict.CUT_SHORT),
        _case("Apple's PNG", lambda: encode(photo(), "PNG").replace(b"IHDR", b"CgBI", 1), Verdict.DAMAGED),
    ]


def _pixel_cases() -> list[Case]:
    kinds = [
        _case(
            f"Paeth, colour {colour}, {depth} bits{', interlaced' if is_interlaced else ''}",
            partial(filtered, 2500, 2000, depth, colour, is_interlaced=is_interlaced),
        )
        for colour, depth in ((0, 1), (0, 16), (2, 8), (2, 16), (3, 8), (4, 16), (6, 8), (6, 16))
        for is_interlaced in (False, True)
    ]
    return [
        *kinds,
        _case("filter 9", partial(filtered, 100, 100, 8, 2, row_filter=9), Verdict.DAMAGED),
        _case("dynamic blocks, 4 MB", partial(dynamic_blocks, 4_000_000)),
        _case("dynamic blocks, 19 MB", partial(dynamic_blocks, 19_000_000)),
        _case(
            "7,000 squared, colours of 16 bits with alpha", partial(filtered, 7000, 7000, 16, 6), Verdict.TOO_EXPENSIVE
        ),
        _case("1 x 65,535, interlaced", partial(filtered, 1, 65_535, 8, 2, is_interlaced=True)),
        _case("65,535 x 1, interlaced", partial(filtered, 65_535, 1, 8, 2, is_interlaced=True)),
    ]


CASES = (*_chunk_cases(), *_pixel_cases())
