"""What the structure of a file reveals about an image before any decoder runs."""

import time
from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import ImageTooExpensiveError

Parts = tuple[bytes | memoryview, ...]

STORED_RGB_BYTES = 4
"""Pillow stores an RGB pixel in four bytes."""

_PARTS_IN_A_TURN = 32
_TURN_S = 0.001
_PAUSE_S = 0.0005


class Structure(NamedTuple):
    """The image, and the maximum cost of decoding it."""

    format: str
    """One of formats.SUFFIXES."""
    width: int
    height: int
    cpu_s: float
    """An estimate, in seconds on one core of the machine in docs/images.md."""
    pixel_bytes: int
    """The memory that grows with the size at which the image is decoded."""
    other_bytes: int = 0
    """The memory that does not depend on the size at which a JPEG is decoded."""
    orientation: int = 1
    """The orientation, as EXIF numbers it."""
    parts: Parts | None = None
    """What the decoder gets, in order. None: the whole file, unchanged."""
    is_isolated: bool = False
    """Whether only the bounded decoder process may decode the image."""


class PartCounter:
    """Counts the parts of a file: segments, chunks, blocks, strips. The limit bounds the scanning time."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit
        self._turn_end = time.perf_counter() + _TURN_S

    def take(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise ImageTooExpensiveError(
                detail=f"This image is stored in more than {self.limit:,} parts (INFERENCE_MAX_IMAGE_PARTS). "
                "Save it again in an image editor, or ask the operator to raise the limit."
            )
        if not self.left % _PARTS_IN_A_TURN:
            self.let_others_run()

    def let_others_run(self) -> None:
        """Pause a long scan. Other requests often need the interpreter briefly, and would wait 5 ms each time."""
        if time.perf_counter() > self._turn_end:
            time.sleep(_PAUSE_S)
            self._turn_end = time.perf_counter() + _TURN_S


def pixel_bytes(width: int, height: int, stored: int, *, orientation: int = 1, is_rgb: bool = False) -> int:
    """Return the peak memory of decoding to `stored` bytes per pixel, turning the image upright, and converting it."""
    converted = 0 if is_rgb else STORED_RGB_BYTES
    return width * height * (stored + max(stored if orientation > 1 else 0, converted))
