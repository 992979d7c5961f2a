"""TIFFs: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf."""

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_FORMAT = {1: "B", 2: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "Q", 7: "B"}
_PIXELS_AT = 8

Tag = tuple[int, int, Sequence[int]]


def tiff(tags: Sequence[Tag], pixels: bytes = b"", *, following: int = 0) -> bytes:
    """Return a little-endian TIFF: the pixels, the values that are too long for the directory, and the directory."""
    body = b"II*\0" + bytes(4) + pixels
    entries = b""
    for number, kind, values in sorted(tags):
        content = struct.pack(f"<{len(values)}{_FORMAT[kind]}", *values)
        if len(content) > 4:
            where, body = struct.pack("<I", len(body)), body + content
        else:
            where = content.ljust(4, b"\0")
        entries += struct.pack("<HHI", number, kind, len(values)) + where
    start = struct.pack("<I", len(body))
    return body[:4] + start + body[8:] + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def grey(width: int, height: int, *more: Tag, compression: int = 1, bits: int = 8) -> list[Tag]:
    tags: list[Tag] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [bits]),
        (259, _SHORT, [compression]),
        (262, _SHORT, [1]),
    ]
    given = {number for number, _, _ in more}
    return [tag for tag in tags if tag[0] not in given] + list(more)


def strips(width: int, height: int, *more: Tag, pixels: bytes | None = None, **options: int) -> bytes:
    """Return a TIFF of one strip, unless `more` overrides it."""
    pixels = bytes(range(256)) * (width * height // 256 + 1) if pixels is None else pixels
    usual: list[Tag] = [(273, _LONG, [_PIXELS_AT]), (278, _LONG, [height]), (279, _LONG, [len(pixels)])]
    given = {number for number, _, _ in more}
    return tiff(grey(width, height, *[tag for tag in usual if tag[0] not in given], *more, **options), pixels)


def many_strips(count: int, height: int) -> bytes:
    return strips(1, height, (278, _LONG, [1]), (273, _LONG, [_PIXELS_AT] * count), (279, _LONG, [1] * count))


def tiles(width: int, height: int, across: int, down: int, count: int = 1) -> bytes:
    pixels = zlib.compress(bytes(4096), 9)
    layout: list[Tag] = [(322, _LONG, [across]), (323, _LONG, [down])]
    layout += [(324, _LONG, [_PIXELS_AT] * count), (325, _LONG, [len(pixels)] * count)]
    return tiff(grey(width, height, *layout, compression=8), pixels)


def directory_loop() -> bytes:
    data = strips(64, 64)
    (start,) = struct.unpack_from("<I", data, 4)
    return data[:-4] + struct.pack("<I", start)


def directory_chain(count: int) -> bytes:
    """Add empty directories after the image."""
    data = strips(64, 64)
    base = len(data)
    chain = b"".join(struct.pack("<HI", 0, base + 6 * (index + 1)) for index in range(count - 1)) + bytes(6)
    return data[:-4] + struct.pack("<I", base) + chain


def overlapping_tags(count: int) -> bytes:
    """Return a TIFF with tags that each claim the same 10 MB."""
    many: list[Tag] = [(1000 + index, 7, range(0)) for index in range(count)]
    data = bytearray(strips(64, 64, *many, pixels=bytes(10_000_000)))
    (start,) = struct.unpack_from("<I", data, 4)
    for at in range(start + 2, len(data) - 12, 12):
        if struct.unpack_from("<H", data, at)[0] >= 1000:
            struct.pack_into("<II", data, at + 4, 10_000_000, _PIXELS_AT)
    return bytes(data)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"tiff: {name}", make, verdict)


def _layout_cases() -> list[Case]:
    zeros = zlib.compress(bytes(50_000), 9)
    return [
        _case("16 x 16 in one tile of 46,320 squared", partial(tiles, 16, 16, 46_320, 46_320), Verdict.TOO_EXPENSIVE),
        _case("64 x 64 in one tile of 8,192 squared", partial(tiles, 64, 64, 8192, 8192), Verdict.DAMAGED),
        _case("tile of 4 billion columns", partial(tiles, 16, 16, 0xFFFFFFF0, 16), Verdict.TOO_EXPENSIVE),
        _case("tile without columns", partial(tiles, 16, 16, 0, 16), Verdict.DAMAGED),
        _case("more tiles than fit", partial(tiles, 64, 64, 64, 64, 50_000), Verdict.DAMAGED),
        _case("5 million strip offsets", partial(many_strips, 2_500_000, 64), Verdict.DAMAGED),
        _case("60,000 strips of one row", partial(many_strips, 60_000, 60_000)),
        _case("200,000 strips of one row", partial(many_strips, 200_000, 200_000), Verdict.TOO_EXPENSIVE),
        _case("fewer strips than rows", partial(many_strips, 10, 64), Verdict.DAMAGED),
        _case("1 x 50 million in 48 kB", lambda: strips(1, 50_000_000, pixels=zeros, compression=8), Verdict.TOO_LARGE),
        _case("50 million x 1 in 48 kB", lambda: strips(50_000_000, 1, pixels=zeros, compression=8), Verdict.TOO_LARGE),
        _case("100,000 squared", lambda: strips(100_000, 100_000, pixels=zeros, compression=8), Verdict.TOO_LARGE),
        _case("strips that lie behind the end", lambda: strips(64, 64, (273, _LONG, [1_000_000])), Verdict.CUT_SHORT),
        _case("neither strips nor tiles", lambda: tiff(grey(64, 64)), Verdict.DAMAGED),
        _case("rows per strip of 4 billion", lambda: strips(64, 64, (278, _LONG, [0xFFFFFFFF]))),
        _case("rows per strip of 0", lambda: strips(64, 64, (278, _LONG, [0])), Verdict.DAMAGED),
    ]


def _tag_cases() -> list[Case]:
    text: Tag = (270, 2, list(b"text" * 1_000_000))
    return [
        _case("directory that is its own next", directory_loop),
        _case("chain of 100,000 directories", partial(directory_chain, 100_000)),
        _case("60,000 tags of the same 10 MB", partial(overlapping_tags, 60_000)),
        _case("description of 4 MB", lambda: strips(64, 64, text)),
        _case("ICC profile of 2 MB", lambda: strips(64, 64, (34675, 7, bytes(2_000_000)))),
        _case("XMP of 2 MB", lambda: strips(64, 64, (700, 1, b"<" * 2_000_000))),
        _case("EXIF directory that points nowhere", lambda: strips(64, 64, (34665, _LONG, [0xFFFFFFFF]))),
        _case("sub-directories by the thousand", lambda: strips(64, 64, (330, _LONG, [8] * 50_000))),
        _case("rationals by the million", lambda: strips(64, 64, (282, _RATIONAL, [1] * 1_000_000))),
        _case(
            "tag of an unknown type",
            lambda: strips(64, 64)[:-4].replace(struct.pack("<HH", 262, 3), struct.pack("<HH", 262, 99)) + bytes(4),
            Verdict.DAMAGED,
        ),
        _case("1,000 samples", lambda: strips(64, 64, (277, _SHORT, [1000])), Verdict.DAMAGED),
        _case("65,535 values of bits", lambda: strips(64, 64, (258, _SHORT, [8] * 65_535)), Verdict.DAMAGED),
        _case("77 bits", lambda: strips(64, 64, bits=77), Verdict.DAMAGED),
        _case("5 bits", lambda: strips(64, 64, bits=5), Verdict.UNSUPPORTED),
        _case("no columns", lambda: strips(0, 64), Verdict.DAMAGED),
        _case(
            "palette of 4 million",
            lambda: strips(64, 64, (262, _SHORT, [3]), (320, _SHORT, [0] * 4_000_000)),
            Verdict.DAMAGED,
        ),
        _case(
            "JPEG tables of 1 MB", lambda: strips(64, 64, (347, 7, bytes(1_000_000)), compression=7), Verdict.DAMAGED
        ),
        _case("directory behind the end", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(100), Verdict.CUT_SHORT),
        _case("only the signature", lambda: b"II*\0", Verdict.CUT_SHORT),
        _case("1,000 more tags", lambda: strips(64, 64, *[(50_000 + index, _LONG, [1]) for index in range(1000)])),
    ]


def _compression_cases() -> list[Case]:
    kinds = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd")
    cases = [_case(f"compression {kind}", partial(encode, photo(), "TIFF", compression=kind)) for kind in kinds]
    cases += [
        _case(f"compression {kind}", partial(encode, photo(mode="1"), "TIFF", compression=kind))
        for kind in ("group3", "group4", "tiff_ccitt")
    ]
    cases += [
        _case(f"compression number {number}", partial(strips, 64, 64, compression=number), Verdict.UNSUPPORTED)
        for number in (6, 9, 32766, 32771, 32809, 34661, 34676, 34887, 65000)
    ]
    cases += [
        _case(f"junk as compression {number}", partial(strips, 64, 64, compression=number), Verdict.DAMAGED)
        for number in (5, 7, 8, 34925, 50000)
    ]
    data = encode(photo(), "TIFF")
    cases += cut_short("tiff", data)
    return cases


CASES = (*_layout_cases(), *_tag_cases(), *_compression_cases())
