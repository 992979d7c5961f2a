"""The structure of an AVIF or HEIC: boxes of ISO/IEC 14496-12, images of ISO/IEC 23008-12."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images.structure import PartCounter, Structure

# Seconds, and bytes of memory; measured with libavif 1.4 and libheif 1.23, docs/images.md.
_S_PER_BYTE = 60e-9
_S_PER_PIXEL = {"AVIF": 25e-9, "HEIC": 40e-9}
_BYTES_PER_PIXEL = {"AVIF": 10, "HEIC": 8}
_DECODER_BYTES = 16_000_000
"""What a decoder takes for an image of any size."""


class _Box(NamedTuple):
    kind: bytes
    start: int
    """Where the content starts."""
    end: int


def scan_avif(data: bytes, counter: PartCounter) -> Structure:
    return _scan(data, "AVIF", counter)


def scan_heic(data: bytes, counter: PartCounter) -> Structure:
    return _scan(data, "HEIC", counter)


def _scan(data: bytes, image_format: str, counter: PartCounter) -> Structure:
    """The largest image that the file describes. The decoder gets the whole file, in a separate process."""
    boxes = {box.kind: box for box in _boxes(data, 0, len(data), counter)}
    if b"meta" not in boxes:
        raise UnsupportedFormatError(
            f"{image_format}: no meta box",
            detail=f"This {image_format} holds a film, which is not accepted. Send a still image.",
        )
    path = _Box(b"", boxes[b"meta"].start + 4, boxes[b"meta"].end)  # after its version and flags
    for kind in (b"iprp", b"ipco"):
        path = next((box for box in _boxes(data, path.start, path.end, counter) if box.kind == kind), path)
        if path.kind != kind:
            raise DamagedImageError(f"{image_format}: no {kind!r}")
    sizes = [
        struct.unpack_from(">II", data, box.start + 4)
        for box in _boxes(data, path.start, path.end, counter)
        if box.kind == b"ispe"
    ]
    if not sizes or min(map(min, sizes)) < 1:
        raise DamagedImageError(f"{image_format}: no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    pixels = width * height
    cpu_s = len(data) * _S_PER_BYTE + pixels * _S_PER_PIXEL[image_format]
    memory = pixels * _BYTES_PER_PIXEL[image_format] + _DECODER_BYTES
    return Structure(image_format, width, height, cpu_s, memory, other_bytes=len(data), is_isolated=True)


def _boxes(data: bytes, start: int, end: int, counter: PartCounter) -> Iterator[_Box]:
    while start + 8 <= end:
        counter.take()
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        elif size == 0:  # to the end
            size = end - start
        if size < header:
            raise DamagedImageError(f"box {kind!r} of {size} bytes")
        if start + size > end:
            raise TruncatedImageError(f"box {kind!r}")
        yield _Box(kind, start + header, start + size)
        start += size
