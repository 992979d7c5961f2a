"""Stores results in Redis. Without Redis, it finds nothing and keeps nothing."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from moon_vision_challenge import redis_clients
from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError

logger = logging.getLogger(__name__)

_PREFIX = "moon_vision:result:"
_INDEX = ["moon_vision:results:expiry", "moon_vision:results:sizes", "moon_vision:results:bytes"]
_WISH = "moon_vision:result_wish:"
_PUT = (Path(__file__).parent / "put.lua").read_text()
_TIMEOUT_S = 0.5

_breaker = CircuitBreaker(open_s=5)


def find(key: str) -> bytes | None:
    found: bytes | None = _ask(lambda redis: redis.get(_PREFIX + key))
    return found


def put(values: dict[str, bytes]) -> None:
    """Keep values for RESULT_CACHE_TTL_S. The oldest ones are dropped while all exceed RESULT_CACHE_MAX_BYTES."""

    def put_all(redis: Redis) -> None:
        script = redis.register_script(_PUT)
        for key, value in values.items():
            script([_PREFIX + key, *_INDEX], [value, settings.RESULT_CACHE_TTL_S, settings.RESULT_CACHE_MAX_BYTES])

    if values:
        _ask(put_all)


def wish(row_id: int, key: str) -> None:
    """Request that the result of a row be kept, under a key that its worker completes."""
    _ask(lambda redis: redis.set(f"{_WISH}{row_id}", key, ex=settings.RESULT_CACHE_TTL_S))


def wishes(row_ids: Sequence[int]) -> list[str | None]:
    """Return the keys that `wish` was called with, for rows whose result is to be kept."""
    found = _ask(lambda redis: redis.mget([f"{_WISH}{row_id}" for row_id in row_ids])) if row_ids else []
    return [key and key.decode() for key in found or [None] * len(row_ids)]


def clear() -> int:
    """Delete all results. Returns how many there were. Raises RedisError."""
    redis = _client(settings.REDIS_URL)
    count = 0
    for key in redis.scan_iter(f"{_PREFIX}*", count=1000):
        count += redis.delete(key)
    redis.delete(*_INDEX)
    return count


def _ask(question: Any) -> Any:
    try:
        with _breaker.call(RedisError):
            return question(_client(settings.REDIS_URL))
    except CircuitOpenError:
        return None
    except RedisError as error:
        logger.warning("results are not cached, because Redis is not available: %s", error)
        return None


@functools.cache
def _client(url: str) -> Redis:
    pool = redis_clients.pool(url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S)
    return Redis(connection_pool=pool)
