"""Creates small previews of uploaded images for the admin, and keeps them in the cache."""

import io
import logging
from collections.abc import Iterable
from threading import BoundedSemaphore

from django.core.cache import cache
from PIL import Image
from redis.exceptions import RedisError

from moon_vision_challenge.classification.exceptions import DecoderBusyError, InvalidImageError
from moon_vision_challenge.classification.images import open_image
from moon_vision_challenge.classification.models import Inference

logger = logging.getLogger(__name__)

SIDE = 96
"""The length of the longer side, in pixels. The admin shows previews at half that size, for high-density screens."""
MAX_CPU_S = 0.3
"""An image that takes longer to decode has no preview. A photo from a phone takes less."""
KEEP_S = 24 * 3600
_NONE = b""
"""The cached value for an image without a preview, so that the image is not decoded again."""
_WAIT_S = 5.0

_turn = BoundedSemaphore(1)
"""Keeps a page of previews from occupying all threads of the process with decoding."""


def thumbnail(inference: Inference) -> bytes | None:
    """Return a JPEG of at most SIDE x SIDE pixels, or None if the image is missing, damaged, or too expensive.

    Raises ClassificationError if it is not available now: the store does not answer, or other images are being decoded.
    """
    kept = _read_cache(inference.pk)
    if kept is not None:
        return kept or None
    if not _turn.acquire(timeout=_WAIT_S):
        raise DecoderBusyError("other previews are being made")
    try:
        made = _make(inference)
    finally:
        _turn.release()
    _write_cache(inference.pk, made)
    return made or None


def forget(inference_ids: Iterable[int]) -> None:
    """Delete the previews of deleted inferences. While Redis is unavailable, they stay cached for up to KEEP_S."""
    try:
        cache.delete_many([_key(inference_id) for inference_id in inference_ids])
    except RedisError as error:
        logger.warning("previews of deleted images stay in Redis for up to %d s: %s", KEEP_S, error)


def _make(inference: Inference) -> bytes:
    try:
        with inference.image.open("rb") as file:
            image = open_image(file.read())
        if image.structure.cpu_s > MAX_CPU_S:
            return _NONE
        with image.decoded(min_side=SIDE) as pixels:
            return _shrink(pixels)
    except (InvalidImageError, FileNotFoundError, ValueError):  # ValueError: the row has no image
        return _NONE


def _shrink(pixels: Image.Image) -> bytes:
    pixels.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    pixels.save(out, "JPEG", quality=80)
    return out.getvalue()


def _read_cache(inference_id: int) -> bytes | None:
    try:
        kept: bytes | None = cache.get(_key(inference_id))
    except RedisError:
        return None
    return kept


def _write_cache(inference_id: int, made: bytes) -> None:
    try:
        cache.set(_key(inference_id), made, KEEP_S)
    except RedisError as error:
        logger.warning("a preview is not cached, because Redis is not available: %s", error)


def _key(inference_id: int) -> str:
    return f"thumbnail.{inference_id}"
