"""Valid images that are cut where one of their parts ends, and one byte before and after."""

import struct
from collections.abc import Callable, Iterator
from functools import cache, partial

from chaos.corpus.case import Case, Verdict, encode, photo

_STEPS = (-1, 0, 1)


def jpeg_segments(data: bytes) -> Iterator[int]:
    """Yield where each segment ends, up to the header of the first scan."""
    position = 2
    while True:
        yield position
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        position += 2 + length
        if marker == 0xDA:
            yield position
            return


def png_chunks(data: bytes) -> Iterator[int]:
    position = 8
    while not data.startswith(b"IEND", position + 4):  # a PNG without IEND counts as complete
        yield position
        position += 12 + int(struct.unpack_from(">I", data, position)[0])


def gif_blocks(data: bytes) -> Iterator[int]:
    yield 6
    yield 13
    yield data.index(b",")
    yield data.index(b",") + 10


def webp_chunks(data: bytes) -> Iterator[int]:
    position = 12
    while position < len(data):
        yield position
        size = int(struct.unpack_from("<I", data, position + 4)[0])
        position += 8 + size + (size & 1)


def bmp_headers(_: bytes) -> Iterator[int]:
    yield from (14, 18, 54)


def tiff_directory(data: bytes) -> Iterator[int]:
    (start,) = struct.unpack_from("<I", data, 4)
    yield 8
    for index in range(struct.unpack_from("<H", data, start)[0]):
        yield start + 2 + 12 * index


def boxes(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        yield position or 8
        position += int(struct.unpack_from(">I", data, position)[0])


@cache
def _made(image_format: str, options: tuple[tuple[str, object], ...]) -> bytes:
    return encode(photo(), image_format, **dict(options))


def cut(image_format: str, options: tuple[tuple[str, object], ...], end: int) -> bytes:
    return _made(image_format, options)[:end]


def _cases(image_format: str, find: Callable[[bytes], Iterator[int]], **options: object) -> Iterator[Case]:
    given = tuple(options.items())
    data = _made(image_format, given)
    shortest = {"AVIF": 13, "WEBP": 12}.get(image_format, 9)  # enough to recognize the format
    ends = sorted({at + step for at in find(data) for step in _STEPS if shortest <= at + step < len(data)})
    kind = f"{image_format}, {', '.join(options)}" if options else image_format
    for end in ends:
        yield Case(f"boundary: {kind}, {end:,} bytes", partial(cut, image_format, given, end), Verdict.CUT_SHORT)


CASES = (
    *_cases("JPEG", jpeg_segments),
    *_cases("JPEG", jpeg_segments, progressive=True),
    *_cases("GIF", gif_blocks),
    *_cases("WEBP", webp_chunks),
    *_cases("WEBP", webp_chunks, lossless=True, xmp=b"<x/>"),
    *_cases("BMP", bmp_headers),
    *_cases("TIFF", tiff_directory),
    *_cases("AVIF", boxes, speed=10),
    *_cases("PNG", png_chunks),
)
