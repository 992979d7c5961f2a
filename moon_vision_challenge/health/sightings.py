"""When workers and beat were last seen at work. They write it into Redis, and /status reads it there."""

import logging
import time
from collections.abc import Iterable, Sequence

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TIMEOUT_S = 1
_WRITE_EVERY_S = 10.0
_PREFIX = "moon_vision:seen:"

BEAT = "beat"


def queue(name: str) -> str:
    """What is seen when a worker serves this queue."""
    return f"queue:{name}"


def lifetime_s() -> int:
    """How long a sighting counts: beat may send nothing for as long as a sweep takes to come round."""
    return max(60, 4 * int(settings.INFERENCE_SWEEP_S))


class Sightings:
    """Writes what one process sees, at most every 10 s."""

    def __init__(self) -> None:
        self._next_write = 0.0  # time.monotonic()

    def note(self, seen: Iterable[str]) -> None:
        """Does nothing while Redis is away: then nothing can be seen."""
        if time.monotonic() < self._next_write:
            return
        self._next_write = time.monotonic() + _WRITE_EVERY_S
        try:
            with connect() as client:
                for name in seen:
                    client.set(_PREFIX + name, 1, ex=lifetime_s())
        except RedisError as error:
            logger.warning("what this process does is not shown in /status, Redis is not available: %s", error)


def find_unseen(names: Sequence[str]) -> list[str]:
    """Those that nobody has seen lately. Raises RedisError."""
    with connect() as client:
        found = client.mget([_PREFIX + name for name in names])
    return [name for name, value in zip(names, found, strict=True) if value is None]


def connect() -> "Redis":
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
