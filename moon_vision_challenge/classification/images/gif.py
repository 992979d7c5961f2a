"""Reads the structure of a GIF up to its first image: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct

from moon_vision_challenge.classification.exceptions import DamagedImageError
from moon_vision_challenge.classification.images.structure import PartCounter, Structure, pixel_bytes

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9

# Seconds; measured, docs/images.md.
_S_PER_BYTE = 12e-9
_S_PER_PIXEL = 8e-9


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Find the first image. The decoder gets the image, the palettes and the transparency, and nothing that follows."""
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    view = memoryview(data)
    position = 13 + _palette_bytes(flags)
    kept: list[bytes | memoryview] = [view[:position]]
    control: memoryview | None = None
    while (introducer := data[position]) != _IMAGE:
        counter.take()
        if introducer == _TRAILER:
            raise DamagedImageError("GIF: no image")
        if introducer != _EXTENSION:  # garbage between blocks is skipped, as in Pillow
            position += 1
            continue
        end = _end_of_blocks(data, position + 2, counter)
        if data[position + 1] == _GRAPHIC_CONTROL:
            control = view[position:end]
        position = end
    if control is not None:
        kept.append(control)
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    blocks = position + 11 + _palette_bytes(flags)
    end = _end_of_blocks(data, blocks, counter)
    if not (width and height):
        raise DamagedImageError("GIF: an image without pixels")
    kept += view[position:end], b";"
    # An image that extends beyond the screen enlarges it.
    width, height = max(screen_width, left + width), max(screen_height, top + height)
    cpu_s = (end - blocks) * _S_PER_BYTE + width * height * _S_PER_PIXEL
    return Structure("GIF", width, height, cpu_s, pixel_bytes(width, height, 2), parts=tuple(kept))


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, position: int, counter: PartCounter) -> int:
    start_count = count = counter.left
    while size := data[position]:
        position += size + 1
        count -= 1
        if count < 0:
            break
    counter.take(start_count - count)
    return position + 1
