"""Reads the structure of a PNG, or of the still image of an APNG: https://www.w3.org/TR/png-3/."""

import struct
import zlib

from moon_vision_challenge.classification.exceptions import DamagedImageError, TruncatedImageError
from moon_vision_challenge.classification.images import exif
from moon_vision_challenge.classification.images.structure import PartCounter, Structure, pixel_bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_CHUNK = struct.Struct(">I4s")

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type → the bits that a sample may have."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
_MAX_PALETTE_BYTES = 768
_MAX_INFLATIONS = 16
"""How many compressed texts are searched for an orientation: a hundred bytes may inflate to a text that takes 3 ms."""

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: the first column and row of each pass, and its steps."""

# Seconds; measured with Pillow's zlib-ng, docs/images.md.
_S_PER_BYTE = 60e-9
_S_PER_RAW_BYTE = 4e-9
_S_PER_PIXEL = 8e-9
_S_PER_CHUNK = 10e-6
_INTERLACED = 1.25
_S_PER_DEEP_PIXEL = 12e-9
"""The time to combine the high and the low byte of a 16-bit value. For this, Pillow decodes colours twice."""


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Walk the chunks. The decoder gets the header, the palette and the pixels, and nothing else."""
    view = memoryview(data)
    width, height, depth, colour, compression, filters, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if data[12:16] != b"IHDR":
        raise DamagedImageError("PNG: the header is not first")
    if not (width and height) or depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise DamagedImageError("PNG: header")
    palette = None
    metadata = _Metadata()
    position, chunks, size, are_pixels_complete = 33, 0, 0, False
    pixels_start = pixels_end = 0
    while position + 8 <= len(data):
        counter.take()
        length, kind = _CHUNK.unpack_from(data, position)
        end = position + 12 + length
        are_pixels_complete = are_pixels_complete or (chunks > 0 and kind != b"IDAT")
        if kind == b"IEND" or (end > len(data) and are_pixels_complete):
            break
        if end > len(data):
            raise TruncatedImageError(f"PNG: in {kind!r}")
        if kind == b"IDAT" and not are_pixels_complete:
            pixels_start, pixels_end = pixels_start or position, end  # the chunks are consecutive
            chunks, size = chunks + 1, size + length
        elif kind == b"PLTE" and not chunks:
            if length > _MAX_PALETTE_BYTES:
                raise DamagedImageError("PNG: palette")
            palette = palette or view[position:end]
        elif metadata.orientation is None:
            metadata.read(kind, view[position + 8 : end - 4])
        position = end
    if not chunks:
        raise TruncatedImageError("PNG: no pixels")
    raw = _raw_bytes(width, height, depth * _CHANNELS[colour], interlace)
    cpu_s = size * _S_PER_BYTE + raw * _S_PER_RAW_BYTE + width * height * _S_PER_PIXEL + chunks * _S_PER_CHUNK
    if interlace:
        cpu_s *= _INTERLACED
    if depth == 16 and colour in (_RGB, _RGBA):
        cpu_s *= 2
    if depth == 16 and colour != _GREY:
        cpu_s += width * height * _S_PER_DEEP_PIXEL
    orientation = metadata.orientation or 1
    memory = _memory(width, height, depth, colour, orientation)
    kept = (_SIGNATURE, view[8:33], palette or b"", view[pixels_start:pixels_end], _END)
    return Structure("PNG", width, height, cpu_s, memory, orientation=orientation, parts=kept)


def _raw_bytes(width: int, height: int, bits: int, interlace: int) -> int:
    passes = _PASSES if interlace else ((0, 0, 1, 1),)
    rows = [(max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))) for x, y, dx, dy in passes]
    return sum((1 + (columns * bits + 7) // 8) * count for columns, count in rows if columns)


def _memory(width: int, height: int, depth: int, colour: int, orientation: int) -> int:
    if depth == 16:  # deep.py also holds other bytes of each value
        return width * height * (8 if colour == _GREY else 12)
    stored = 1 if colour in (_GREY, _PALETTE) else 4
    return pixel_bytes(width, height, stored, orientation=orientation, is_rgb=colour == _RGB)


class _Metadata:
    """Reads the first valid orientation from the chunks that may contain one."""

    def __init__(self) -> None:
        self.orientation: int | None = None
        self._inflations = 0

    def read(self, kind: bytes, content: memoryview) -> None:
        if kind == b"eXIf":
            self.orientation = exif.read_orientation(content)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            self._read_text(kind, *bytes(content[: exif.MAX_BYTES]).partition(b"\0")[::2])

    def _read_text(self, kind: bytes, keyword: bytes, text: bytes) -> None:
        if keyword == b"Raw profile type exif" and kind != b"iTXt":
            profile = self._inflate(text[1:]) if kind == b"zTXt" else text
            self.orientation = _orientation_of_raw_profile(profile)
        elif keyword == b"XML:com.adobe.xmp" and kind == b"iTXt":
            is_compressed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
            self.orientation = exif.read_orientation_of_xmp(self._inflate(text) if is_compressed else text)

    def _inflate(self, data: bytes) -> bytes:
        self._inflations += 1
        return exif.inflate(data) if self._inflations <= _MAX_INFLATIONS else b""


def _orientation_of_raw_profile(text: bytes) -> int | None:
    """Return the orientation in ImageMagick's format: a line break, "exif", the number of bytes, hexadecimal bytes."""
    digits = b"".join(text.split()[2:])
    try:
        return exif.read_orientation(bytes.fromhex(digits[: len(digits) & ~1].decode("ascii")))
    except ValueError:
        return None
