"""Expands a run-length encoded BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-compression.

Pillow expands the runs pixel by pixel, in Python. This module expands a row of runs in one operation.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

CODEC = "bmp_runs"
_END_OF_LINE, _END, _DELTA = range(3)

Levels = NDArray[np.uint8]


def count_escapes(data: bytes, start: int) -> int:
    """Return the maximum number of escapes (codes that are not runs). It determines the cost of expanding."""
    return data[start::2].count(0)


def expand(data: bytes, width: int, height: int, bits: int) -> Levels:
    """Return the palette index of each pixel, bottom row first. Pixels that no run sets are 0.

    Args:
        bits: 8 or 4, the size of a pixel in the file.

    Raises:
        EOFError: the data end before the last row.
        ValueError: the end-of-bitmap code comes before the last row.
    """
    pixels = np.zeros((height, width), np.uint8)
    # All codes have an even number of bytes, so an escape is a zero at an even offset.
    escapes = np.flatnonzero(np.frombuffer(data, np.uint8)[::2] == 0) * 2
    position = x = y = 0
    while y < height:
        index = int(np.searchsorted(escapes, position))
        escape = int(escapes[index]) if index < len(escapes) else len(data) & ~1
        if escape > position:
            x += _put(pixels[y], x, _repeat(data[position:escape][: 2 * width], bits))
        if escape + 2 > len(data):
            raise EOFError("the run lengths end too early")
        count, position = data[escape + 1], escape + 2
        if count == _END:
            if y < height - 1:
                raise ValueError("the mark of the end comes before the last row")
            break
        if count == _END_OF_LINE:
            x, y = 0, y + 1
        elif count == _DELTA:
            right, up = _take(data, position, 2)
            x, y, position = x + right, y + up, position + 2
        else:
            size = (count * bits + 7) // 8
            x += _put(pixels[y], x, _unpack(_take(data, position, size), bits)[:count])
            position += size + (size & 1)
    return pixels


def _take(data: bytes, position: int, size: int) -> bytes:
    taken = data[position : position + size]
    if len(taken) < size:
        raise EOFError("the run lengths end too early")
    return taken


def _put(row: Levels, x: int, levels: Levels) -> int:
    """Set the pixels from `x` on, as far as the row goes. Return how many were given."""
    row[x : x + len(levels)] = levels[: max(0, len(row) - x)]
    return len(levels)


def _repeat(runs: bytes, bits: int) -> Levels:
    counts, values = np.frombuffer(runs, np.uint8).reshape(-1, 2).T
    if bits == 8:
        return np.repeat(values, counts)
    ends = np.cumsum(counts, dtype=np.int64)
    is_odd = (np.arange(ends[-1]) - np.repeat(ends - counts, counts)) & 1
    return np.where(is_odd, np.repeat(values & 15, counts), np.repeat(values >> 4, counts))


def _unpack(packed: bytes, bits: int) -> Levels:
    values = np.frombuffer(packed, np.uint8)
    return values if bits == 8 else np.stack((values >> 4, values & 15), axis=1).ravel()


class RunsDecoder(ImageFile.PyDecoder):
    """Replaces Pillow's decoder, with the same arguments: the raw mode, whether a pixel has 4 bits, the direction."""

    _pulls_fd = True

    def decode(self, _: Image.DecoderInput) -> tuple[int, int]:
        rawmode, is_4_bits, direction = self.args
        assert self.fd is not None  # noqa: S101  # this decoder reads the file itself
        levels = expand(self.fd.read(), self.state.xsize, self.state.ysize, 4 if is_4_bits else 8)
        self.set_as_raw(levels.tobytes(), rawmode if rawmode == "L" else "P", (0, direction))
        return -1, 0


def use(image: ImageFile.ImageFile) -> None:
    """Make this module decode an opened BMP if it is run-length encoded."""
    image.tile = [tile._replace(codec_name=CODEC) if tile.codec_name == "bmp_rle" else tile for tile in image.tile]


Image.register_decoder(CODEC, RunsDecoder)
