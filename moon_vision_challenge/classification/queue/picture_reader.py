"""Reads and decodes the images of a claim in parts. While the model works on one part, a thread reads the next one."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field

from django.conf import settings
from PIL import Image

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.models import Inference

Picture = tuple[Inference, Image.Image]

_MAX_PIXELS_AT_ONCE = 12_500_000
"""The size of a full part: Pillow keeps four bytes per pixel, and two parts are in memory. A picture may be larger."""
_MAX_PIXELS_BESIDE = 2 * _MAX_PIXELS_AT_ONCE
"""Above this size, no other part is read ahead: decoding the largest picture takes INFERENCE_DECODE_MEMORY_BYTES."""


@dataclass
class Part:
    """Rows that go to the model together, and rows whose image cannot be read."""

    pictures: list[Picture] = field(default_factory=list)
    failures: list[tuple[Inference, Exception]] = field(default_factory=list)
    pixels: int = 0

    def close(self) -> None:
        """Free the pixels."""
        for _, image in self.pictures:
            image.close()

    @property
    def is_full(self) -> bool:
        return self.pixels >= _MAX_PIXELS_AT_ONCE or len(self.pictures) == settings.INFERENCE_BATCH_SIZE


def read_parts(inferences: Sequence[Inference]) -> Iterator[Part]:
    """Read the images of claimed rows in order, INFERENCE_BATCH_SIZE per part. The next part closes the current one."""
    parts = _parts(inferences)
    return _in_turn(parts) if len(inferences) <= settings.INFERENCE_BATCH_SIZE else _read_ahead(parts)


def _parts(inferences: Sequence[Inference]) -> Iterator[Part]:
    part = Part()
    for number, inference in enumerate(inferences):
        try:
            image = _read_image(inference)
        except StorageUnavailableError as error:  # each of the other rows would wait just as long
            part.failures += [(each, error) for each in inferences[number:]]
            break
        except Exception as error:  # noqa: BLE001  # no error may fail the rest of the batch
            part.failures.append((inference, error))
            continue
        part.pictures.append((inference, image))
        part.pixels += math.prod(image.size)
        if part.is_full:
            yield part
            part = Part()
    yield part


def _read_image(inference: Inference) -> Image.Image:
    with inference.image.open("rb") as file:
        image = images.open_image(file.read())
    return image.decode(min_side=dispatcher[inference.model_type].min_image_side)


class _Reader:
    """A thread of this process. It stays alive, because an S3 client belongs to one thread and is slow to create."""

    def __init__(self) -> None:
        self.start_anew()
        os.register_at_fork(after_in_child=self.start_anew)  # a forked process has no threads

    def start_anew(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    def next_of(self, parts: Iterator[Part]) -> "Future[Part | None]":
        """Read the next part in the thread. Its log lines have the caller's context."""
        return self._pool.submit(copy_context().run, _next, parts)


def _next(parts: Iterator[Part]) -> Part | None:
    return next(parts, None)


_reader = _Reader()


def _in_turn(parts: Iterator[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        part.close()


def _read_ahead(parts: Iterator[Part]) -> Iterator[Part]:
    ahead = _reader.next_of(parts)
    try:
        while (part := ahead.result()) is not None:
            is_large = part.pixels > _MAX_PIXELS_BESIDE
            if not is_large:
                ahead = _reader.next_of(parts)
            yield part
            part.close()
            if is_large:
                ahead = _reader.next_of(parts)
    finally:
        wait([ahead])
