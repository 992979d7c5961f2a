"""Keeps the image store below MEDIA_MAX_BYTES.

The store is measured every ten minutes, after old images have been deleted. In between, Redis counts what all processes
add. While Redis is unavailable, each process counts what it adds itself.
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
    """The last size that this process read from Redis, plus what it has added since."""


def reserve(size: int) -> None:
    """Count an upload. Raises StorageFullError if the store would hold more than MEDIA_MAX_BYTES."""
    if not settings.MEDIA_MAX_BYTES:
        return
    if (stored := _add(size)) > settings.MEDIA_MAX_BYTES:
        _add(-size)
        raise StorageFullError(f"{stored - size} bytes are stored, and MEDIA_MAX_BYTES is {settings.MEDIA_MAX_BYTES}")


def measure() -> None:
    """Measure what the store holds, and discard the earlier count. Does nothing without a limit."""
    if settings.MEDIA_MAX_BYTES:
        cache.set(_KEY, media_store.stored_bytes(), timeout=None)


def measure_if_unknown() -> None:
    """Measure the store at the first start, and after Redis has lost its data."""
    if settings.MEDIA_MAX_BYTES and stored() is None:
        measure()


def stored() -> int | None:
    """Return the bytes in the store, or None if they have not been measured yet. Raises RedisError."""
    found = cache.get(_KEY)
    return None if found is None else int(found)


def _add(size: int) -> int:
    """Add to the number of stored bytes, and return the new number."""
    try:
        with _breaker.call(RedisError):
            _LastKnown.size = cache.incr(_KEY, size)
    except (CircuitOpenError, RedisError, ValueError):  # ValueError: the store has not been measured yet
        _LastKnown.size += size
    return _LastKnown.size
