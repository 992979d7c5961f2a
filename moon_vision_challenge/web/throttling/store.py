"""Token buckets in Redis."""

import functools
import hashlib
import logging
import math
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from redis import Redis
from redis.connection import Connection
from redis.exceptions import ConnectionError as DisconnectedError
from redis.exceptions import NoScriptError, RedisError

from moon_vision_challenge import redis_clients
from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError

logger = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("buckets.lua").read_bytes()
_SCRIPT_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_TIMEOUT_S = 0.5
_LEASE_S = 300
"""How long a request whose process has died keeps its place. This is longer than any request."""
_PREFIX = "moon_vision:limit:"


class LimitsUnavailableError(Exception):
    """Redis does not answer, so nothing is counted."""


class Bucket(NamedTuple):
    """A policy, and whose requests it counts."""

    name: str
    subject: str
    quota: int
    window_s: int
    cost: int = 1
    """How much the request takes. 0 only reads the bucket."""
    unit: str = "requests"

    @property
    def key(self) -> str:
        return f"{_PREFIX}{self.name}:{self.subject}"


class Concurrency(NamedTuple):
    """How many requests of a subject may be in progress."""

    subject: str
    limit: int
    looks_only: bool = False

    @property
    def key(self) -> str:
        return f"{_PREFIX}concurrent:{self.subject}"


class BucketState(NamedTuple):
    bucket: Bucket
    remaining: int
    full_in_s: int


class Decision(NamedTuple):
    """Whether a request may proceed, and what is left. Call `release` at the end of a request with a place."""

    is_allowed: bool
    retry_after_s: int
    states: Sequence[BucketState]
    concurrency: Concurrency | None = None
    in_progress: int = 0
    place: str = ""


class _Thread(threading.local):
    """A connection for each thread, because redis-py's pool takes more CPU time than the request itself."""

    connection: Connection | None = None
    url = ""
    unread = 0
    """The number of replies that have not been read yet."""


_thread = _Thread()
clock: Callable[[], float] | None = None
"""Returns seconds. None means the clock of Redis, which all processes share. Tests set it."""


def take(buckets: Sequence[Bucket], concurrency: Concurrency | None = None) -> Decision:
    """Take from all buckets, or from none if one has too little.

    Raises LimitsUnavailableError.
    """
    if not buckets and concurrency is None:
        return Decision(is_allowed=True, retry_after_s=0, states=())
    place = uuid.uuid4().hex if concurrency and not concurrency.looks_only else ""
    keys, arguments = _arguments(buckets, concurrency, place)
    try:
        with _redis_breaker.call(RedisError):
            refused, wait_us, in_progress, *levels = _call(keys, arguments)
    except CircuitOpenError:
        raise LimitsUnavailableError from None
    except RedisError as error:
        logger.warning("requests are not limited, because Redis is not available: %s", error)
        raise LimitsUnavailableError from error
    states = [
        BucketState(bucket, remaining, math.ceil(full_in_us / 1e6))
        for bucket, remaining, full_in_us in zip(buckets, levels[::2], levels[1::2], strict=True)
    ]
    is_allowed = refused == 0
    return Decision(is_allowed, math.ceil(wait_us / 1e6), states, concurrency, in_progress, place if is_allowed else "")


def release(decision: Decision) -> None:
    """Free the request's place without waiting for the reply, which this thread's next call reads."""
    if not decision.place or decision.concurrency is None or _thread.connection is None:
        return
    try:
        _send("ZREM", decision.concurrency.key, decision.place)
        _thread.unread += 1
    except RedisError as error:
        logger.warning("a request's place is free only after %s s: %s", _LEASE_S, error)
        _disconnect()


def forget(buckets: Sequence[Bucket]) -> None:
    """Refill buckets without waiting for the reply, which this thread's next call reads."""
    if not buckets:
        return
    try:
        _send("DEL", *(bucket.key for bucket in buckets))
        _thread.unread += 1
    except RedisError as error:
        logger.warning("%s stays as it is: %s", buckets[0].key, error)
        _disconnect()


def _arguments(
    buckets: Sequence[Bucket], concurrency: Concurrency | None, place: str
) -> tuple[list[str], list[str | int | float]]:
    keys = [bucket.key for bucket in buckets]
    now = "" if clock is None else int(clock() * 1e6)
    arguments: list[str | int | float] = [now, 0, place, _LEASE_S * 1_000_000]
    if concurrency:
        keys.append(concurrency.key)
        arguments[1] = concurrency.limit
    for bucket in buckets:
        window_us = bucket.window_s * 1_000_000
        arguments += window_us / bucket.quota, window_us, bucket.cost
    return keys, arguments


def _call(keys: Sequence[str], arguments: Sequence[str | float]) -> list[int]:
    was_connected = _thread.connection is not None and _thread.url == settings.REDIS_URL
    try:
        return _evaluate(keys, arguments)
    except DisconnectedError:
        if not was_connected:
            raise
        return _evaluate(keys, arguments)  # Redis has been restarted since this thread's last request


def _evaluate(keys: Sequence[str], arguments: Sequence[str | float]) -> list[int]:
    try:
        try:
            levels: list[int] = _ask("EVALSHA", _SCRIPT_SHA, len(keys), *keys, *arguments)
        except NoScriptError:
            levels = _ask("EVAL", _SCRIPT, len(keys), *keys, *arguments)
    except RedisError:
        _disconnect()
        raise
    return levels


def _ask(*command: str | bytes | float) -> Any:
    _send(*command)
    connection = _thread.connection
    assert connection is not None  # noqa: S101  # _send has made it
    while _thread.unread:
        _thread.unread -= 1
        connection.read_response()
    return connection.read_response()


def _send(*command: str | bytes | float) -> None:
    if _thread.connection is None or _thread.url != settings.REDIS_URL:
        _disconnect()
        _thread.connection, _thread.url = _new_connection(settings.REDIS_URL), settings.REDIS_URL
    packed = _thread.connection.pack_command(*command)  # type: ignore[no-untyped-call]
    _thread.connection.send_packed_command(packed, check_health=False)  # type: ignore[no-untyped-call]


def _disconnect() -> None:
    if _thread.connection:
        _thread.connection.disconnect()  # type: ignore[no-untyped-call]
    _thread.connection, _thread.unread = None, 0


def _new_connection(url: str) -> Connection:
    connection: Connection = _pool(url).make_connection()
    connection.connect()  # type: ignore[no-untyped-call]  # sending a command would connect, but not ask the Sentinels
    return connection


@functools.cache
def _pool(url: str) -> Any:
    """Return a pool that only parses the URL, with its password, database, and TLS. Threads keep the connections."""
    return redis_clients.pool(url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S)


def _probe() -> None:
    """Write to Redis, because a Redis at its memory limit refuses writes."""
    Redis(connection_pool=_pool(settings.REDIS_URL)).set(f"{_PREFIX}probe", 1, ex=60)


_redis_breaker = CircuitBreaker(open_s=5, probe=_probe)
"""Spares requests the timeout while Redis is known not to answer."""
