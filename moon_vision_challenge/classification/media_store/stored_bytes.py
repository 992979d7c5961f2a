"""Keeps the image store below MEDIA_MAX_BYTES.

The store is measured after old images have been deleted, every ten minutes. In between, Redis counts what is added, for
all processes together. While Redis is unavailable, each process counts what it adds itself.
"""

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.classification.exceptions import StorageFullError
from moon_vision_challenge.classification.media_store import media_store

_KEY = "media.bytes"
_breaker = CircuitBreaker(open_s=5)


class _LastKnown:
    size = 0
    """The last size that this process read from Redis, with what it has added since."""


def reserve(size: int) -> None:
    """Count an upload. Raises StorageFullError if the store would hold more than MEDIA_MAX_BYTES."""
    if not settings.MEDIA_MAX_BYTES:
        return
    if (stored := _add(size)) > settings.MEDIA_MAX_BYTES:
        _add(-size)
        raise StorageFullError(f"{stored - size} bytes are stored, and MEDIA_MAX_BYTES is {settings.MEDIA_MAX_BYTES}")


def measure() -> None:
    """Count what the store holds, and forget what has been counted before. Does nothing without a limit."""
    if settings.MEDIA_MAX_BYTES:
        cache.set(_KEY, media_store.stored_bytes(), timeout=None)


def measure_if_unknown() -> None:
    """Return whether the store must be measured: at the first start, and after Redis has lost its data."""
    if settings.MEDIA_MAX_BYTES and stored() is None:
        measure()


def stored() -> int | None:
    """Return the bytes in the store, or None if they have not been measured yet. Raises RedisError."""
    found = cache.get(_KEY)
    return None if found is None else int(found)


def _add(size: int) -> int:
    """Add an upload, and return the number of bytes that are then stored."""
    try:
        with _breaker.call(RedisError):
            _LastKnown.size = cache.incr(_KEY, size)
    except (CircuitOpenError, RedisError, ValueError):  # ValueError: they have not been measured yet
        _LastKnown.size += size
    return _LastKnown.size
