"""Reads the structure of a WebP: RFC 9649."""

import struct
from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import DamagedImageError, TruncatedImageError
from moon_vision_challenge.classification.images import exif
from moon_vision_challenge.classification.images.structure import PartCounter, Parts, Structure

_METADATA_FLAGS = 0x20 | 0x08 | 0x04
"""The bits of VP8X for a colour profile, EXIF and XMP."""

# Pillow decodes with libwebp's WebPAnimDecoder. The memory holds two canvases, a copy as bytes and Pillow's pixels, or
# the copy, the pixels and their conversions.
_BYTES_PER_PIXEL = 17

_BYTES_PER_GROUP = 6000
"""A lossless image may change its Huffman codes every 4 x 4 pixels. libwebp keeps the tables of all groups of codes."""
_MAX_GROUPS = 1 << 16
_BITS_PER_GROUP = 20
"""The size of the shortest group: five codes of one symbol."""
_TABLE_BYTES_PER_BYTE = 70
"""The bytes that a code of more symbols adds to libwebp's tables, for each byte that describes it."""
_IN_PROCESS_GROUP_BYTES = 64_000_000

# Seconds; measured with libwebp 1.6, docs/images.md.
_S_PER_BYTE = 40e-9
_S_PER_PIXEL = 35e-9


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int
    """The end, without the byte that makes the length even."""


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Find the image, or the first image of an animation. The decoder gets nothing else."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise TruncatedImageError("WebP")
    first = _chunk_at(data, 12, size + 8)
    if first.kind != b"VP8X":
        width, height = _frame_size(data, first)
        return _structure(width, height, (first,), 1, None)
    if first.end - first.start < 18:
        raise DamagedImageError("WebP: header")
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (first.start + 12, first.start + 15))
    return _scan_extended(data, first, size + 8, (width, height), counter)


def _scan_extended(data: bytes, first: _Chunk, end: int, canvas: tuple[int, int], counter: PartCounter) -> Structure:
    kept: dict[bytes, _Chunk] = {}
    orientation = xmp_orientation = None
    position = first.end
    while position + 8 <= end:
        counter.take()
        chunk = _chunk_at(data, position, end)
        position = chunk.end + (chunk.end & 1)
        content = memoryview(data)[chunk.start + 8 : chunk.end]
        if chunk.kind == b"EXIF":
            orientation = orientation or exif.read_orientation(content)
        elif chunk.kind == b"XMP ":
            xmp_orientation = xmp_orientation or exif.read_orientation_of_xmp(content)
        elif chunk.kind in (b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"):
            kept.setdefault(chunk.kind, chunk)
    frame = kept.get(b"ANMF") or kept.get(b"VP8L") or kept.get(b"VP8 ")
    if frame is None:
        raise DamagedImageError("WebP: no image")
    size = _animation_frame_size(data, frame) if frame.kind == b"ANMF" else _frame_size(data, frame)
    if size[0] > canvas[0] or size[1] > canvas[1]:
        raise DamagedImageError("WebP: a frame larger than the canvas")
    parts = _rebuild(data, first, sorted(kept.values(), key=lambda chunk: chunk.start))
    return _structure(*canvas, tuple(kept.values()), orientation or xmp_orientation or 1, parts)


def _structure(width: int, height: int, chunks: tuple[_Chunk, ...], orientation: int, parts: Parts | None) -> Structure:
    pixels = width * height
    size = sum(chunk.end - chunk.start for chunk in chunks)
    return Structure(
        "WEBP",
        width,
        height,
        cpu_s=size * _S_PER_BYTE + pixels * _S_PER_PIXEL,
        pixel_bytes=pixels * _BYTES_PER_PIXEL,
        orientation=orientation,
        parts=parts,
        is_isolated=_group_bytes(pixels, chunks) > _IN_PROCESS_GROUP_BYTES,
    )


def _group_bytes(pixels: int, chunks: tuple[_Chunk, ...]) -> int:
    """Return the maximum memory of the groups of Huffman codes. Only the decoder knows their number."""
    lossless = sum(chunk.end - chunk.start for chunk in chunks if chunk.kind in (b"VP8L", b"ALPH", b"ANMF"))
    groups = min(_MAX_GROUPS, pixels // 16, 8 * lossless // _BITS_PER_GROUP)
    return _BYTES_PER_GROUP * groups + _TABLE_BYTES_PER_BYTE * lossless


def _rebuild(data: bytes, first: _Chunk, chunks: list[_Chunk]) -> Parts:
    view = memoryview(data)
    header = bytearray(data[first.start : first.start + 18])
    header[4:8] = struct.pack("<I", 10)
    header[8] &= ~_METADATA_FLAGS
    body: list[bytes | memoryview] = [bytes(header)]
    for chunk in chunks:
        body += view[chunk.start : chunk.end], b"\0" * (chunk.end & 1)
    return b"RIFF", struct.pack("<I", 4 + sum(map(len, body))), b"WEBP", *body


def _chunk_at(data: bytes, position: int, end: int) -> _Chunk:
    kind, size = struct.unpack_from("<4sI", data, position)
    if position + 8 + size > end:
        raise TruncatedImageError(f"WebP: in {kind!r}")
    return _Chunk(kind, position, position + 8 + size)


def _frame_size(data: bytes, chunk: _Chunk) -> tuple[int, int]:
    if chunk.kind == b"VP8 " and data[chunk.start + 11 : chunk.start + 14] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, chunk.start + 14)
        width, height = width & 0x3FFF, height & 0x3FFF
        if width and height:
            return width, height
    if chunk.kind == b"VP8L" and data[chunk.start + 8] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, chunk.start + 9)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise DamagedImageError("WebP: not a frame")


def _animation_frame_size(data: bytes, chunk: _Chunk) -> tuple[int, int]:
    """Return the larger of two sizes, for each side: that of an animation frame, and that of the image in it."""
    start = chunk.start + 8
    said = [1 + int.from_bytes(data[at : at + 3], "little") for at in (start + 6, start + 9)]
    inner = _chunk_at(data, start + 16, chunk.end)
    if inner.kind == b"ALPH":
        inner = _chunk_at(data, inner.end + (inner.end & 1), chunk.end)
    width, height = _frame_size(data, inner)
    return max(width, said[0]), max(height, said[1])
