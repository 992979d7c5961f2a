"""Tracks when workers and beat were last active. They record it in Redis, and /status reads it."""

import logging
import time
from collections.abc import Iterable, Sequence

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from moon_vision_challenge import redis_clients

logger = logging.getLogger(__name__)

TIMEOUT_S = 1
_WRITE_EVERY_S = 10.0
_PREFIX = "moon_vision:seen:"

BEAT = "beat"


def queue(name: str) -> str:
    """Return the name of a sighting of a worker that serves this queue."""
    return f"queue:{name}"


def lifetime_s() -> int:
    """Return how long a sighting counts. Beat may send nothing between two sweeps."""
    return max(60, 4 * int(settings.INFERENCE_SWEEP_S))


class Sightings:
    """Records the sightings of one process, at most every 10 s."""

    def __init__(self) -> None:
        self._next_write = 0.0  # time.monotonic()

    def note(self, seen: Iterable[str]) -> None:
        """Record the sightings, or only log a warning while Redis is unavailable."""
        if time.monotonic() < self._next_write:
            return
        self._next_write = time.monotonic() + _WRITE_EVERY_S
        try:
            with connect() as client:
                for name in seen:
                    client.set(_PREFIX + name, 1, ex=lifetime_s())
        except RedisError as error:
            logger.warning("/status cannot show this process, because Redis is not available: %s", error)


def find_unseen(names: Sequence[str]) -> list[str]:
    """Return the names without a recent sighting. Raises RedisError."""
    with connect() as client:
        found = client.mget([_PREFIX + name for name in names])
    return [name for name, value in zip(names, found, strict=True) if value is None]


def connect() -> Redis:
    return redis_clients.connect(settings.REDIS_URL, timeout_s=TIMEOUT_S)
