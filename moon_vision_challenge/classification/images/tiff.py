"""Reads the structure of the first image of a TIFF: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf."""

import math
import struct
from typing import NamedTuple

from django.conf import settings

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import exif, jpeg
from moon_vision_challenge.classification.images.structure import PartCounter, Parts, Structure

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANES = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _EXTRA_SAMPLES, _XMP = 322, 323, 324, 325, 338, 700
_SAMPLE_FORMAT = 339
_ALPHA = 2  # a value of _EXTRA_SAMPLES: alpha that is not premultiplied
_RGB = 2  # a value of _PHOTOMETRIC

_WHERE = ((_TILE_OFFSETS, _STRIP_OFFSETS), (_TILE_SIZES, _STRIP_SIZES))

_KEPT = {
    **dict.fromkeys((_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS_PER_STRIP, _PLANES), 1),
    **dict.fromkeys((_TILE_WIDTH, _TILE_HEIGHT), 1),
    **dict.fromkeys((_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES), math.inf),  # bounded by the layout
    **dict.fromkeys((_BITS, _EXTRA_SAMPLES, _SAMPLE_FORMAT), 16),  # one per sample
    266: 1,  # FillOrder
    292: 1,  # T4Options
    293: 1,  # T6Options
    317: 1,  # Predictor
    320: 3 * 65_536,  # ColorMap
    347: 65_536,  # JPEGTables
    529: 3,  # YCbCrCoefficients
    530: 2,  # YCbCrSubSampling
    531: 1,  # YCbCrPositioning
    532: 6,  # ReferenceBlackWhite
}
"""The tags that the decoder gets, and how many values each may have. All others are metadata."""

_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT group 3",
    4: "CCITT group 4",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    34925: "LZMA",
    50000: "Zstandard",
}
_NOT_ACCEPTED = {6: "the JPEG of TIFF 6.0", 34712: "JPEG 2000", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL"}
"""The compressions that Pillow's libtiff does not decode."""
_JPEG = 7
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MAX_SIDE = 1 << 31

# Seconds; measured with libtiff 4.7 and the slowest compression, LZMA; docs/images.md.
_S_PER_BYTE = 60e-9
_S_PER_SAMPLE_BYTE = 12e-9
_S_PER_PIXEL = 12e-9
_S_PER_STRIP = 6e-6
_S_PER_JPEG = 60e-6


class _Entry(NamedTuple):
    kind: int
    values: int
    """The number of values."""
    raw: bytes
    """The bytes in the directory."""
    content: memoryview


class _Form(NamedTuple):
    endian: str
    offset: str
    """The type of an offset: 4 bytes, or 8 in a BigTIFF."""
    number_of_entries: str
    header: int

    @property
    def entry(self) -> struct.Struct:
        size = struct.calcsize(self.offset)
        return struct.Struct(f"{self.endian}HH{self.offset}{size}s")


_FORMS = {
    b"II*\0": _Form("<", "I", "H", 4),
    b"MM\0*": _Form(">", "I", "H", 4),
    b"II+\0": _Form("<", "Q", "Q", 8),
    b"MM\0+": _Form(">", "Q", "Q", 8),
}


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Read the first directory. The decoder gets a directory with only what it needs, and no other directory."""
    form = _FORMS[data[:4]]
    entries = _read_directory(data, form, counter)
    width, height = (_number(entries, form, tag, 0) for tag in (_WIDTH, _HEIGHT))
    if not 0 < width < _MAX_SIDE or not 0 < height < _MAX_SIDE:
        raise DamagedImageError("TIFF: no pixels")
    _check_kind(entries, form)
    compression = _number(entries, form, _COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        name = _NOT_ACCEPTED.get(compression, compression)
        raise UnsupportedFormatError(
            f"TIFF: compression {compression}",
            detail=f"A TIFF with compression {name} is not accepted. Save it with LZW or without compression.",
        )
    samples = _number(entries, form, _SAMPLES, 1)
    bits = max(_numbers(entries.get(_BITS), form, 16) or [1])
    if not 1 <= samples <= 16 or not 1 <= bits <= 64:
        raise DamagedImageError("TIFF: samples")
    decoded, piece = _check_layout(entries, form, (width, height), samples * bits, counter)
    orientation = _orientation(entries, form)
    strips = counter.limit - counter.left
    cpu_s = len(data) * _S_PER_BYTE + decoded * _S_PER_SAMPLE_BYTE + width * height * _S_PER_PIXEL
    memory = width * height * _stored_bytes(samples, bits) + piece
    if compression == _JPEG:
        jpeg_s, jpeg_bytes = _scan_jpegs(data, entries, form, counter)
        cpu_s, memory = cpu_s + jpeg_s, memory + jpeg_bytes
    return Structure(
        "TIFF",
        width,
        height,
        cpu_s + strips * _S_PER_STRIP,
        memory,
        other_bytes=2 * len(data),
        orientation=orientation,
        parts=_rebuild(data, form, entries),
        is_isolated=True,
    )


def _check_kind(entries: dict[int, _Entry], form: _Form) -> None:
    """Refuse images that Pillow would decode wrongly. Remove the planar configuration of an image with one plane."""
    if _number(entries, form, _SAMPLES, 1) == 1:
        entries.pop(_PLANES, None)
    extra = _numbers(entries.get(_EXTRA_SAMPLES), form, 16)
    is_deep = max(_numbers(entries.get(_BITS), form, 16) or [1]) > 8
    is_usual = not extra or (extra == [_ALPHA] and _number(entries, form, _PHOTOMETRIC, 0) == _RGB)
    if _number(entries, form, _PLANES, 1) == 2 and (is_deep or not is_usual):
        kind = "more than 8 bits per channel" if is_deep else "channels other than color and alpha"
        detail = f"A TIFF with separate planes and {kind} is not accepted. Save it with interleaved channels (chunky)."
        raise UnsupportedFormatError(f"TIFF: separate planes with {kind}", detail=detail)


def _stored_bytes(samples: int, bits: int) -> int:
    """Return the peak memory of a pixel, in Pillow and while deep.py converts deep pixels to 8 bits."""
    return 12 if bits > 8 and samples > 1 else 9


def _read_directory(data: bytes, form: _Form, counter: PartCounter) -> dict[int, _Entry]:
    (start,) = struct.unpack_from(form.endian + form.offset, data, form.header)
    (count,) = struct.unpack_from(form.endian + form.number_of_entries, data, start)
    counter.take(count)
    start += struct.calcsize(form.number_of_entries)
    entries: dict[int, _Entry] = {}
    for position in range(start, start + count * form.entry.size, form.entry.size):
        counter.let_others_run()
        tag, kind, values, _ = form.entry.unpack_from(data, position)
        if tag in _KEPT or tag in (_ORIENTATION, _XMP):
            size = values * _TYPE_BYTES.get(kind, 0)
            if values > _KEPT.get(tag, math.inf) or not size:
                raise DamagedImageError(f"TIFF: {values} values of tag {tag}")
            entries[tag] = _Entry(kind, values, data[position : position + form.entry.size], memoryview(b""))
            entries[tag] = entries[tag]._replace(content=_content(data, form, entries[tag], size))
    return entries


def _content(data: bytes, form: _Form, entry: _Entry, size: int) -> memoryview:
    inline = struct.calcsize(form.offset)
    value = entry.raw[-inline:]
    if size <= inline:
        return memoryview(value)[:size]
    (start,) = struct.unpack(form.endian + form.offset, value)
    if start + size > len(data):
        raise TruncatedImageError("TIFF: a tag")
    return memoryview(data)[start : start + size]


def _numbers(entry: _Entry | None, form: _Form, limit: int) -> list[int]:
    if entry is None or entry.kind not in _INTEGERS:
        return []
    kind = _INTEGERS[entry.kind]
    count = min(entry.values, limit)
    return list(struct.unpack_from(f"{form.endian}{count}{kind}", entry.content))


def _number(entries: dict[int, _Entry], form: _Form, tag: int, default: int) -> int:
    if tag not in entries:
        return default
    numbers = _numbers(entries[tag], form, 1)
    if not numbers:
        raise DamagedImageError(f"TIFF: tag {tag} is not a number")
    return numbers[0]


def _check_layout(
    entries: dict[int, _Entry], form: _Form, size: tuple[int, int], bits: int, counter: PartCounter
) -> tuple[int, int]:
    """Return the decoded size of all strips or tiles, and of the largest piece that the decoder holds, in bytes."""
    width, height = size
    if _TILE_OFFSETS in entries:
        across, down = (_number(entries, form, tag, 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        offsets, sizes = entries[_TILE_OFFSETS], entries.get(_TILE_SIZES)
    elif _STRIP_OFFSETS in entries:
        across, down = width, min(height, _number(entries, form, _ROWS_PER_STRIP, height))
        offsets, sizes = entries[_STRIP_OFFSETS], entries.get(_STRIP_SIZES)
    else:
        raise DamagedImageError("TIFF: neither strips nor tiles")
    if across < 1 or down < 1:
        raise DamagedImageError("TIFF: empty strips or tiles")
    planes = _number(entries, form, _SAMPLES, 1) if _number(entries, form, _PLANES, 1) == 2 else 1
    count = -(-width // across) * -(-height // down) * planes
    counter.take(count)
    if offsets.values != count or (sizes and sizes.values != count):
        raise DamagedImageError(f"TIFF: {offsets.values} strips or tiles of {count}")
    piece = (across * bits + 7) // 8 * down
    return piece * count // planes, piece


def _scan_jpegs(data: bytes, entries: dict[int, _Entry], form: _Form, counter: PartCounter) -> tuple[float, int]:
    """Return the time to decode the JPEGs in all strips or tiles, and the memory of the largest one."""
    offsets, sizes = (entries.get(first) or entries.get(other) for first, other in _WHERE)
    starts = _numbers(offsets, form, counter.limit)
    lengths = _numbers(sizes, form, counter.limit)
    if len(starts) != len(lengths):
        raise DamagedImageError("TIFF: strips or tiles without their sizes")
    cpu_s, memory = 0.0, 0
    for start, length in zip(starts, lengths, strict=True):
        piece = data[start : start + length]
        if not piece.startswith(b"\xff\xd8"):
            raise DamagedImageError("TIFF: a strip or tile that is not a JPEG")
        scanned = jpeg.scan(piece, counter)
        cpu_s += scanned.cpu_s + _S_PER_JPEG
        if cpu_s > settings.INFERENCE_MAX_DECODE_CPU_S:
            break  # it will be refused: scanning the rest, which may be the same bytes again and again, takes minutes
        memory = max(memory, scanned.pixel_bytes + scanned.other_bytes)
    return cpu_s, memory


def _orientation(entries: dict[int, _Entry], form: _Form) -> int:
    if found := _numbers(entries.get(_ORIENTATION), form, 1):
        return found[0] if 1 <= found[0] <= 8 else 1
    xmp = entries.get(_XMP)
    return (xmp and exif.read_orientation_of_xmp(xmp.content)) or 1


def _rebuild(data: bytes, form: _Form, entries: dict[int, _Entry]) -> Parts:
    """Return the file with a new directory appended. The pixels stay where they are."""
    kept = [entry.raw for tag, entry in sorted(entries.items()) if tag in _KEPT]
    padding = len(data) & 1
    start = struct.pack(form.endian + form.offset, len(data) + padding)
    end_of_header = form.header + len(start)
    count = struct.pack(form.endian + form.number_of_entries, len(kept))
    view = memoryview(data)
    return view[: form.header], start, view[end_of_header:], b"\0" * padding, count, *kept, bytes(len(start))
