"""An image as a client sent it: a single value, checked before any decoder sees it."""

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from PIL import Image

from moon_vision_challenge.classification.exceptions import DamagedImageError, ImageTooLargeError, TruncatedImageError
from moon_vision_challenge.classification.images import bmp, formats, gif, iso_media, jpeg, pixels, png, tiff, webp
from moon_vision_challenge.classification.images.budget import memory, turns
from moon_vision_challenge.classification.images.decoder_pool import Cost, decoders, too_much_memory, too_much_time
from moon_vision_challenge.classification.images.structure import STORED_RGB_BYTES, PartCounter, Parts, Structure

_SCANNERS: dict[str, Callable[[bytes, PartCounter], Structure]] = {
    "JPEG": jpeg.scan,
    "PNG": png.scan,
    "GIF": gif.scan,
    "WEBP": webp.scan,
    "BMP": bmp.scan,
    "TIFF": tiff.scan,
    "AVIF": iso_media.scan_avif,
    "HEIC": iso_media.scan_heic,
}

_IN_PROCESS_CPU_S = 0.3
_IN_PROCESS_BYTES = 128_000_000
"""Images that cost more are decoded in another process, under the kernel's limits. A phone's photo costs less."""

_CPU_SHARES = {"JPEG": 0.4}
"""Format → its share of INFERENCE_MAX_DECODE_CPU_S, if even the most expensive valid image needs much less."""

MAX_SIDE = 65_535
"""The maximum of the JPEG standard, applied to all formats: decoders keep some bytes for each row."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """The bytes of an image whose size and cost are within the limits. It is not decoded, and no file is open."""

    data: bytes
    structure: Structure

    @property
    def format(self) -> str:
        """One of formats.SUFFIXES."""
        return self.structure.format

    @property
    def suffix(self) -> str:
        """The suffix of a file with these bytes."""
        return formats.SUFFIXES[self.format]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored, before the image is turned upright."""
        return self.structure.width, self.structure.height

    def decode(self, *, min_side: int | None = None) -> Image.Image:
        """Decode completely: to mode RGB, upright by the EXIF orientation, and only the first frame of an animation.

        Transparency is dropped: a pixel has the colour that is stored under it, as in TensorFlow's decoders. Pixels of
        more than 8 bits are converted to 8 by the rule of deep.py.

        Args:
            min_side: a JPEG may be decoded at a half, a quarter or an eighth of its size (much faster) as long as its
                shorter side keeps this many pixels. None: always at full size.

        Raises:
            InvalidImageError: the data are damaged, cut short, or cost more than the limits allow.
            DecoderBusyError: other images occupy the memory or the decoder processes.
        """
        with memory.reserve(self._peak_bytes(min_side)):
            return self._decode(min_side)

    @contextmanager
    def decoded(self, *, min_side: int | None = None) -> Iterator[Image.Image]:
        """Decode as `decode` does. Other threads cannot use the memory of the pixels until the context ends."""
        with memory.reserve(self._peak_bytes(min_side)) as reservation:
            image = self._decode(min_side)
            try:
                reservation.shrink(image.width * image.height * STORED_RGB_BYTES)
                yield image
            finally:
                image.close()

    def check(self) -> None:
        """Check that all data are present and undamaged, as cheaply as possible. Raises as `decode` does."""
        with memory.reserve(self._bytes_needed(1)):
            if self._is_isolated(1):
                decoders.check(self._parts, self._request(1), self._cost)
            else:
                self._decode(1).close()

    @property
    def structure_bytes(self) -> int:
        """The memory that decoding at full size takes, in bytes."""
        return self.structure.pixel_bytes + self.structure.other_bytes

    @property
    def _cost(self) -> Cost:
        return Cost(self.structure.cpu_s, self.structure_bytes)

    @property
    def _parts(self) -> Parts:
        return self.structure.parts or (self.data,)

    def _decode(self, min_side: int | None) -> Image.Image:
        # Not at the top: a decoder process also imports this package. It has no settings and records no metrics.
        from moon_vision_challenge.observability import metrics  # noqa: PLC0415

        request = self._request(min_side)
        with metrics.child(metrics.decode_seconds, self.format).time():
            if self._is_isolated(min_side):
                return decoders.decode(self._parts, request, self._cost)
            parts = self.structure.parts
            with turns.take():
                return pixels.decode(self.data if parts is None else b"".join(parts), request)

    def _request(self, min_side: int | None) -> pixels.Request:
        return pixels.Request(self.format, math.prod(self.size), self.structure.orientation, min_side)

    def _bytes_needed(self, min_side: int | None) -> int:
        if self.format != "JPEG":
            return self.structure_bytes
        divisor = pixels.reduction(self.size, min_side)
        return self.structure.pixel_bytes // divisor**2 + self.structure.other_bytes

    def _peak_bytes(self, min_side: int | None) -> int:
        """Return the peak, with the copy that this process holds while the decoder process still has the image."""
        needed = self._bytes_needed(min_side)
        if not self._is_isolated(min_side):
            return needed
        divisor = pixels.reduction(self.size, min_side) if self.format == "JPEG" else 1
        return max(needed, 2 * STORED_RGB_BYTES * math.prod(self.size) // divisor**2)

    def _is_isolated(self, min_side: int | None) -> bool:
        structure = self.structure
        return (
            structure.is_isolated
            or structure.cpu_s > _IN_PROCESS_CPU_S
            or self._bytes_needed(min_side) > _IN_PROCESS_BYTES
        )


def open_image(data: bytes) -> EncodedImage:
    """Read the format, the size and the cost from the structure of the file, without running a decoder.

    Raises:
        UnsupportedFormatError: the format is unknown or not among INFERENCE_IMAGE_FORMATS.
        DamagedImageError, TruncatedImageError: the structure is invalid, or ends too early.
        ImageTooLargeError: more than INFERENCE_MAX_IMAGE_PIXELS pixels.
        ImageTooExpensiveError: more parts, CPU time or memory than the limits allow.
    """
    counter = PartCounter(settings.INFERENCE_MAX_IMAGE_PARTS)
    try:
        structure = _SCANNERS[formats.identify(data)](data, counter)
    except (IndexError, struct.error) as error:  # a read past the end
        raise TruncatedImageError(f"structure: {error!r}") from error
    except (ValueError, OverflowError) as error:
        raise DamagedImageError(f"structure: {error!r}") from error
    image = EncodedImage(data, structure)
    _check_limits(image)
    return image


def _check_limits(image: EncodedImage) -> None:
    if max(image.size) > MAX_SIDE:
        raise ImageTooLargeError(
            detail=f"This image has a side of more than {MAX_SIDE:,} pixels. Send a smaller image."
        )
    limit = settings.INFERENCE_MAX_IMAGE_PIXELS
    if math.prod(image.size) > limit:
        raise ImageTooLargeError(
            detail=f"This image has too many pixels. At most {limit:,} are accepted (INFERENCE_MAX_IMAGE_PIXELS)."
        )
    if image.structure_bytes > settings.INFERENCE_MAX_DECODE_BYTES:
        raise too_much_memory(f"{image.format}: {image.structure_bytes:,} bytes")
    cpu_limit_s = settings.INFERENCE_MAX_DECODE_CPU_S * _CPU_SHARES.get(image.format, 1)
    if image.structure.cpu_s > cpu_limit_s:
        raise too_much_time(f"{image.format}: {image.structure.cpu_s:.1f} s", cpu_limit_s)
