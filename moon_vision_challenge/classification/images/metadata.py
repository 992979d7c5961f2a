"""Removes metadata, such as the location and the camera, from an image file without re-encoding the pixels.

Only what is known to change how the picture looks is kept: tables, colour profiles, transparency, the frames of an
animation. The orientation is written again. Data after the image, such as a phone's video, are also removed.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from django.conf import settings

from moon_vision_challenge.classification.exceptions import DamagedImageError, MetadataNotRemovableError
from moon_vision_challenge.classification.images import jpeg
from moon_vision_challenge.classification.images.encoded import EncodedImage
from moon_vision_challenge.classification.images.structure import PartCounter

_JFIF, _EXIF = b"JFIF\0", b"Exif\0\0"
_ICC, _ADOBE = b"ICC_PROFILE\0", b"Adobe"
_APP0, _SOS, _EOI, _COM = 0xE0, 0xDA, 0xD9, 0xFE
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")

_PNG_CHUNKS = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"),
    *(b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT"),
}
_WEBP_CHUNKS = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
_GIF_INTRODUCER = re.compile(rb"[!,;]")
_GIF_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
"""The extensions that specify how often an animation repeats."""


def without_metadata(image: EncodedImage) -> bytes:
    """Return the file without its metadata. The image has been checked: its structure is valid.

    Raises InvalidImageError if metadata cannot be removed in this format, or if what follows the image is invalid.
    """
    remove = _REMOVERS.get(image.format)
    if remove is None:
        raise MetadataNotRemovableError(image.format, tuple(_REMOVERS))
    try:
        counter = PartCounter(settings.INFERENCE_MAX_IMAGE_PARTS)
        return b"".join(remove(image.data, image.structure.orientation, counter))
    except (IndexError, struct.error) as error:  # past what the decoder needs
        raise DamagedImageError(f"metadata: {error!r}") from error


def _jpeg(data: bytes, orientation: int, counter: PartCounter) -> Iterator[bytes]:
    yield data[:2]
    is_exif_due = orientation != 1
    position = 2
    while found := jpeg.search(_MARKER, data, position, counter):
        counter.take()
        marker, position = data[found.start(1)], found.end()
        if marker == _EOI:
            break
        end = position + int.from_bytes(data[position : position + 2], "big")
        if not position + 2 <= end <= len(data):
            break
        content = data[position + 2 : end]
        is_jfif = marker == _APP0 and content.startswith(_JFIF)
        if is_exif_due and not is_jfif:  # the JFIF segment comes first
            yield _exif_segment(orientation)
            is_exif_due = False
        if is_jfif:
            yield b"\xff\xe0" + struct.pack(">H", 16) + content[:12] + b"\0\0"  # without the thumbnail
        elif _is_kept(marker, content):
            yield data[found.start(1) - 1 : end]
        position = end
        if marker == _SOS:
            position = _end_of_scan(data, end, counter)
            yield data[end:position]
    yield b"\xff\xd9"


def _is_kept(marker: int, content: bytes) -> bool:
    if marker == 0xE2:
        return content.startswith(_ICC)
    if marker == 0xEE:
        return content.startswith(_ADOBE)
    return not (0xE0 <= marker <= 0xEF or marker == _COM)


def _end_of_scan(data: bytes, position: int, counter: PartCounter) -> int:
    """Return the start of the next marker that is not part of the entropy-coded data."""
    found = jpeg.search(_END_OF_SCAN, data, position, counter)
    return found.start() if found else len(data)


def _exif_segment(orientation: int) -> bytes:
    content = _EXIF + _tiff(orientation)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content


def _tiff(orientation: int) -> bytes:
    """Return an EXIF block with a single tag: 0x0112, a SHORT."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _png(data: bytes, orientation: int, _: PartCounter) -> Iterator[bytes]:
    yield data[:8]
    position, kind = 8, b""
    while kind != b"IEND" and position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_CHUNKS:
            yield data[position:end]
        if kind == b"IHDR" and orientation != 1:
            yield _png_chunk(b"eXIf", _tiff(orientation))
        position = end
    if kind != b"IEND":
        yield _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _webp(data: bytes, orientation: int, _: PartCounter) -> Iterator[bytes]:
    kept = list(_webp_chunks(data, orientation))
    yield b"RIFF" + struct.pack("<I", 4 + sum(map(len, kept))) + b"WEBP"
    yield from kept


def _webp_chunks(data: bytes, orientation: int) -> Iterator[bytes]:
    end_of_file = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    position, is_extended = 12, False
    while position + 8 <= end_of_file:
        kind, size = struct.unpack_from("<4sI", data, position)
        end = position + 8 + size + (size & 1)
        chunk = data[position:end]
        if kind == b"VP8X":
            is_extended = True
            flags = chunk[8] & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if orientation != 1 else 0)
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if kind in _WEBP_CHUNKS:
            yield chunk + b"\0" * (len(chunk) & 1)
        position = end if is_extended else end_of_file  # a file without VP8X has only one chunk
    if is_extended and orientation != 1:
        block = _tiff(orientation)
        yield b"EXIF" + struct.pack("<I", len(block)) + block


def _gif(data: bytes, _: int, counter: PartCounter) -> Iterator[bytes]:
    position = 13 + _gif_table_bytes(data[10])
    yield data[:position]
    while position < len(data) and data[position] != 0x3B:
        begin = position
        is_image = data[position] == 0x2C
        if not is_image and data[position] != 0x21:  # garbage, which decoders skip
            found = _GIF_INTRODUCER.search(data, position)
            position = found.start() if found else len(data)
            continue
        position += 10 + _gif_table_bytes(data[position + 9]) + 1 if is_image else 2
        end = _end_of_gif_blocks(data, position, counter)
        if is_image or _is_kept_extension(data[begin:end]):
            yield data[begin:end]
        position = end
    yield b";"


def _gif_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_gif_blocks(data: bytes, position: int, counter: PartCounter) -> int:
    while position < len(data) and data[position]:
        counter.take()
        position += 1 + data[position]
    return position + 1


def _is_kept_extension(block: bytes) -> bool:
    return block[1] == 0xF9 or (block[1] == 0xFF and block[3:14] in _GIF_APPLICATIONS)


def _bmp(data: bytes, *_: object) -> Iterator[bytes]:
    """Yield the whole file: a BMP cannot hold metadata."""
    yield data


_REMOVERS: dict[str, Callable[[bytes, int, PartCounter], Iterator[bytes]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
}
