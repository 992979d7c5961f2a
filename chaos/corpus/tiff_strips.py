"""TIFFs with expensive strips, directories, and compressed data: TIFF 6, BigTIFF, and libtiff's extensions."""

import struct
import zlib
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.jpeg import empty_scans
from chaos.corpus.jpeg import sound as jpeg
from chaos.corpus.tiff import Tag, grey, strips, tiff

_SHORT, _LONG = 3, 4
_PIXELS_AT = 8
_JPEG, _DEFLATE, _LZW, _PACKBITS, _LZMA, _ZSTD, _WEBP = 7, 8, 5, 32773, 34925, 50000, 50001


def overlapping(count: int, size: int, compression: int) -> bytes:
    """Return a TIFF whose strips of one row all consist of the same bytes."""
    pixels = zlib.compress(bytes(64)) if compression == _DEFLATE else bytes(64)
    pixels = pixels.ljust(size, b"\0")
    layout: list[Tag] = [(278, _LONG, [1]), (273, _LONG, [_PIXELS_AT] * count), (279, _LONG, [size] * count)]
    return tiff(grey(64, count, *layout, compression=compression), pixels)


def jpeg_strip(data: bytes, width: int, height: int, *more: Tag) -> bytes:
    return strips(width, height, *more, pixels=data, compression=_JPEG)


def jpeg_strips(data: bytes, width: int, height: int, count: int) -> bytes:
    """Return a TIFF whose strips are all the same JPEG."""
    layout: list[Tag] = [(278, _LONG, [height]), (273, _LONG, [_PIXELS_AT] * count), (279, _LONG, [len(data)] * count)]
    return tiff(grey(width, height * count, *layout, compression=_JPEG), data)


def overlapping_jpegs(count: int, size: int) -> bytes:
    """Return a TIFF whose strips all consist of the same JPEG and most of the file after it."""
    layout: list[Tag] = [(278, _LONG, [8]), (273, _LONG, [_PIXELS_AT] * count), (279, _LONG, [size] * count)]
    data = encode(photo(16, 8, "L"), "JPEG").ljust(size, b"\0")
    return tiff(grey(16, 8 * count, *layout, compression=_JPEG), data)


def deflate_bomb(width: int, height: int, *more: Tag) -> bytes:
    return strips(width, height, *more, pixels=zlib.compress(bytes(width * height), 9), compression=_DEFLATE)


def lzw_bomb(width: int, height: int) -> bytes:
    """Return codes for longer and longer strings of zeros, with a clear code when the table is full."""
    digits, done = [], 0
    while done < width * height:
        digits.append(f"{256:09b}{0:09b}")
        done, number = done + 1, 258
        while number < 4093 and done < width * height:
            bits = 9 if number < 511 else 10 if number < 1023 else 11 if number < 2047 else 12
            digits.append(f"{number:0{bits}b}")
            done += number - 256
            number += 1
    digits.append(f"{257:012b}")
    text = "".join(digits)
    text += "0" * (-len(text) % 8)
    return strips(width, height, pixels=int(text, 2).to_bytes(len(text) // 8, "big"), compression=_LZW)


def planes(samples: int, side: int = 64) -> bytes:
    """Return a TIFF that stores each sample in separate strips."""
    more: list[Tag] = [(258, _SHORT, [8] * samples), (277, _SHORT, [samples]), (284, _SHORT, [2])]
    more += [(273, _LONG, [_PIXELS_AT] * samples), (279, _LONG, [side * side] * samples)]
    return strips(side, side, *more, (262, _SHORT, [2 if samples >= 3 else 1]), pixels=bytes(side * side))


def lzma_of_dictionary(size: int) -> bytes:
    """Return LZMA data that declares the size of its dictionary."""
    data = b"\xfd7zXZ\0\0\4" + struct.pack("<I", zlib.crc32(b"\0\4"))
    header = bytes([2, 0, 0x21, 1, size]) + bytes(3)
    return strips(64, 64, pixels=data + header + struct.pack("<I", zlib.crc32(header)) + bytes(500), compression=_LZMA)


def zstd_of_window(code: int) -> bytes:
    data = b"\x28\xb5\x2f\xfd\0" + bytes([code << 3]) + b"\1\0\0" + bytes(100)
    return strips(64, 64, pixels=data, compression=_ZSTD)


def big(count: int, *, entries: int = 0) -> bytes:
    """Return a BigTIFF that declares how many entries its directory has."""
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count) + bytes(20 * entries)


def directories(count: int) -> bytes:
    """Return a TIFF of several pages, each of which is a complete image."""
    pages = [photo(32, 32, "L").rotate(index) for index in range(count)]
    return encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"tiff: {name}", make, verdict)


def _strip_cases() -> list[Case]:
    return [
        _case("1,000 strips of the same 19 MB", partial(overlapping, 1000, 19_000_000, _DEFLATE)),
        _case("60,000 strips of the same 1 MB", partial(overlapping, 60_000, 1_000_000, _DEFLATE)),
        _case("60,000 strips of the same 1 MB, raw", partial(overlapping, 60_000, 1_000_000, 1)),
        _case("1,000 strips of the same 100 bytes", partial(overlapping, 1000, 100, _DEFLATE)),
        _case("deflate of 5,000 squared", partial(deflate_bomb, 5000, 5000)),
        _case("LZW of 3,000 squared", partial(lzw_bomb, 3000, 3000)),
        _case(
            "PackBits of 5,000 squared", lambda: strips(5120, 5000, pixels=b"\x81\0" * 200_000, compression=_PACKBITS)
        ),
        *[_case(f"{count} planes", partial(planes, count)) for count in (1, 3, 4)],
        _case("16 planes", partial(planes, 16), Verdict.UNSUPPORTED),
        _case("LZMA dictionary of 4 GB", partial(lzma_of_dictionary, 40), Verdict.DAMAGED),
        _case("LZMA dictionary of 64 MB", partial(lzma_of_dictionary, 28), Verdict.DAMAGED),
        *[_case(f"Zstandard window {code}", partial(zstd_of_window, code), Verdict.DAMAGED) for code in (17, 21, 31)],
        _case("predictor of 9", lambda: deflate_bomb(64, 64, (317, _SHORT, [9])), Verdict.DAMAGED),
        _case("fill order of 9", lambda: strips(64, 64, (266, _SHORT, [9])), Verdict.UNSUPPORTED),
    ]


def _jpeg_cases() -> list[Case]:
    grey_jpeg = partial(encode, photo(320, 240, "L"), "JPEG")
    return [
        _case("8,000 strips of the same 18 MB", partial(overlapping_jpegs, 8000, 18_000_000), Verdict.TOO_EXPENSIVE),
        _case("JPEG in a strip", lambda: jpeg_strip(grey_jpeg(), 320, 240)),
        _case("progressive JPEG in a strip", lambda: jpeg_strip(grey_jpeg(progressive=True), 320, 240)),
        _case(
            "arithmetic JPEG in a strip",
            lambda: jpeg_strip(grey_jpeg().replace(b"\xff\xc0", b"\xff\xc9"), 320, 240),
            Verdict.UNSUPPORTED,
        ),
        _case(
            "JPEG of 12 bits in a strip",
            lambda: jpeg_strip(grey_jpeg().replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c"), 320, 240),
            Verdict.UNSUPPORTED,
        ),
        _case(
            "JPEG that is larger than its strip",
            lambda: jpeg_strip(empty_scans(1, 20_000, 2500), 64, 64),
            Verdict.DAMAGED,
        ),
        _case("JPEG of 3 colours in a grey strip", lambda: jpeg_strip(jpeg(), 320, 240), Verdict.DAMAGED),
        _case(
            "JPEG of 90 empty scans of 12 megapixels",
            lambda: jpeg_strip(empty_scans(90, 4000, 3000), 4000, 3000),
        ),
        _case(
            "JPEG of 1,000 empty scans of 12 megapixels",
            lambda: jpeg_strip(empty_scans(1000, 4000, 3000), 4000, 3000),
            Verdict.TOO_EXPENSIVE,
        ),
        _case(
            "50 strips of JPEGs of 90 empty scans",
            lambda: jpeg_strips(empty_scans(90, 2000, 400), 2000, 400, 50),
            Verdict.TOO_EXPENSIVE,
        ),
        _case("20 strips of the same JPEG", lambda: jpeg_strips(grey_jpeg(), 320, 240, 20)),
    ]


def _directory_cases() -> list[Case]:
    return [
        _case("300 pages", partial(directories, 300)),
        _case("BigTIFF of 2^63 entries", partial(big, 1 << 63), Verdict.TOO_EXPENSIVE),
        _case("BigTIFF of 50,000 entries of nothing", partial(big, 50_000, entries=50_000), Verdict.DAMAGED),
        _case("BigTIFF without entries", partial(big, 0), Verdict.DAMAGED),
        _case("BigTIFF with a directory that is cut short", partial(big, 9), Verdict.CUT_SHORT),
        _case("sub-directory that is the directory", lambda: strips(64, 64, (330, _LONG, [8]))),
        _case("sub-directory of EXIF and GPS", lambda: strips(64, 64, (34665, _LONG, [8]), (34853, _LONG, [8]))),
        _case("same tag 5,000 times", lambda: strips(64, 64, *[(256, _LONG, [64])] * 5000)),
    ]


CASES = (*_strip_cases(), *_jpeg_cases(), *_directory_cases())
