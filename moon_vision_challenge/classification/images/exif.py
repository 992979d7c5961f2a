"""Reads the orientation of an image from a bounded part of its metadata, and nothing else."""

import re
import struct
import zlib

MAX_BYTES = 65_536
"""The maximum number of bytes that are read from a metadata block. A JPEG segment cannot hold more."""

_ORIENTATION = 0x0112
_MAX_ENTRIES = 256
_INTEGERS = {1: 1, 3: 2, 4: 4}
"""The integer types of a tag → their size in bytes: Exif 2.32, section 4.6.2."""

_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")


def read_orientation(exif: bytes | memoryview) -> int | None:
    """Return the orientation in the first directory of an EXIF block, 1 to 8. None if it contains no valid one."""
    block = bytes(exif[:MAX_BYTES])
    if block.startswith(b"Exif\0\0"):
        block = block[6:]
    endian = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if endian is None:
        return None
    try:
        return _find_orientation(block, endian)
    except struct.error:
        return None


def _find_orientation(block: bytes, endian: str) -> int | None:
    (start,) = struct.unpack_from(endian + "I", block, 4)
    (count,) = struct.unpack_from(endian + "H", block, start)
    entry = struct.Struct(endian + "HHI4s")
    for index in range(min(count, _MAX_ENTRIES)):
        tag, kind, values, content = entry.unpack_from(block, start + 2 + index * entry.size)
        if tag == _ORIENTATION:
            size = _INTEGERS.get(kind) if values == 1 else None
            number = int.from_bytes(content[:size], "little" if endian == "<" else "big") if size else 0
            return number if 1 <= number <= 8 else None
    return None


def read_orientation_of_xmp(xmp: bytes | memoryview) -> int | None:
    """Return the orientation in an XMP packet, 1 to 8."""
    found = _XMP.search(bytes(xmp[:MAX_BYTES]))
    return int(found[1]) if found else None


def inflate(data: bytes | memoryview) -> bytes:
    """Return the first MAX_BYTES of compressed metadata, decompressed. Empty if they are damaged."""
    try:
        return zlib.decompressobj().decompress(data[:MAX_BYTES], MAX_BYTES)
    except zlib.error:
        return b""
