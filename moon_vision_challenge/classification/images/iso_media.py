"""Reads the structure of an AVIF or HEIC: boxes as in ISO/IEC 14496-12, images as in ISO/IEC 23008-12."""

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
"""The memory that a decoder needs for an image of any size."""


_IN_FILE = 0
"""The construction method of an item whose data are anywhere in the file, not in the meta box."""


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
    """Find the largest image that the file declares. A separate process decodes the file up to the end of its items."""
    meta = _find_meta(data, image_format, counter)
    end = _end_of_items(data, meta, counter)
    path = meta
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
    parts = (memoryview(data)[:end],)
    return Structure(image_format, width, height, cpu_s, memory, len(data), parts=parts, is_isolated=True)


def _find_meta(data: bytes, image_format: str, counter: PartCounter) -> _Box:
    for box in _boxes(data, 0, len(data), counter):
        if box.kind == b"meta":
            return box._replace(start=box.start + 4)  # after its version and flags
        if box.kind == b"moov":
            raise UnsupportedFormatError(
                f"{image_format}: no meta box",
                detail=f"This {image_format} contains a video, which is not accepted. Send a still image.",
            )
    raise TruncatedImageError(f"{image_format}: no meta box")


def _end_of_items(data: bytes, meta: _Box, counter: PartCounter) -> int:
    """Return the end of the box that holds the last data of an item. What follows is not part of the image."""
    location = next((box for box in _boxes(data, meta.start, meta.end, counter) if box.kind == b"iloc"), None)
    needed = max((meta.end, *(_extents(data, location, counter) if location else ())))
    if needed > len(data):
        raise TruncatedImageError("the data of an item")
    end = 0
    for box in _boxes(data, 0, len(data), counter):
        end = box.end
        if end >= needed:
            break
    return end


def _extents(data: bytes, location: _Box, counter: PartCounter) -> Iterator[int]:
    """Yield the end of each extent of an item in the file: ISO/IEC 14496-12, section 8.11.3."""
    version, position = data[location.start], location.start + 4
    sizes, position = struct.unpack_from(">H", data, position)[0], position + 2
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_bytes = 2 if version < 2 else 4
    count, position = _number(data, position, id_bytes)
    for _ in range(count):
        counter.take()
        method, position = _number(data, position + id_bytes, 2 if version else 0)
        base, position = _number(data, position + 2, base_bytes)
        extents, position = _number(data, position, 2)
        counter.take(extents)
        if extents > 1 and not (offset_bytes or length_bytes):
            raise DamagedImageError("several pieces of an item that are all the same")  # 65,535 of them in 0 bytes
        for _ in range(extents):
            counter.let_others_run()
            position += index_bytes if version else 0
            offset, position = _number(data, position, offset_bytes)
            length, position = _number(data, position, length_bytes)
            if method & 15 == _IN_FILE:
                yield base + offset + length


def _number(data: bytes, position: int, size: int) -> tuple[int, int]:
    """Return an unsigned number of `size` bytes, and the position of its end."""
    end = position + size
    if end > len(data):
        raise TruncatedImageError("a number")
    return int.from_bytes(data[position:end], "big"), end


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
