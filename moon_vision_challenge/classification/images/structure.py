"""What a file's own structure tells about an image, before any decoder runs."""

from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import ImageTooExpensiveError

Parts = tuple[bytes | memoryview, ...]

STORED_RGB_BYTES = 4
"""Pillow keeps a pixel of RGB in four bytes."""


class Structure(NamedTuple):
    """The image, and what decoding it costs at most."""

    format: str
    """One of formats.SUFFIXES."""
    width: int
    height: int
    cpu_s: float
    """An estimate, in seconds of one core of the machine in docs/images.md."""
    pixel_bytes: int
    """Memory that grows with the size at which the image is decoded."""
    other_bytes: int = 0
    """Memory that a JPEG needs whatever the size at which it is decoded."""
    orientation: int = 1
    """As EXIF numbers it."""
    parts: Parts | None = None
    """What the decoder gets, in order. None: the file as it is."""
    is_isolated: bool = False
    """Only the bounded decoder process may decode it."""


class PartCounter:
    """Counts the parts of a file: segments, chunks, blocks, strips. Scanning takes a time that they bound."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def take(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise ImageTooExpensiveError(
                detail=f"This image is stored in more than {self.limit:,} parts (INFERENCE_MAX_IMAGE_PARTS). "
                "Save it again with a common program, or ask the operator to raise the limit."
            )


def pixel_bytes(width: int, height: int, stored: int, *, orientation: int = 1, is_rgb: bool = False) -> int:
    """The peak of decoding to `stored` bytes a pixel, turning the image upright, and converting it to RGB."""
    converted = 0 if is_rgb else STORED_RGB_BYTES
    return width * height * (stored + max(stored if orientation > 1 else 0, converted))
