"""Connects to the server that REDIS_URL names, or to the one that its Sentinels call the master."""

from typing import Any

from redis import ConnectionPool, Redis
from redis.connection import SSLConnection
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from moon_vision_challenge.redis_url import RedisTarget, read_redis_url


def connect(url: str, *, timeout_s: float) -> Redis:
    """Return a client whose connections close with it."""
    return Redis.from_pool(pool(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s))


def pool(url: str, **options: Any) -> ConnectionPool:
    """Make a pool. `options` are those of redis-py's connections. The URL overrides them."""
    target = read_redis_url(url)
    if not target.sentinels:
        return ConnectionPool.from_url(url, **options)
    return _sentinel_pool(target, {**options, **target.options})


class CachePool:
    """The pool class for Django's cache, which creates pools with `from_url`."""

    from_url = staticmethod(pool)


def _sentinel_pool(target: RedisTarget, options: dict[str, Any]) -> SentinelConnectionPool:
    is_tls = options.pop("connection_class", None) is SSLConnection
    timeouts = {name: value for name, value in options.items() if name.startswith("socket_")}
    sentinel_options = {**timeouts, **target.sentinel_options}
    sentinel = Sentinel(list(target.sentinels), sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    managed = SentinelManagedSSLConnection if is_tls else SentinelManagedConnection
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        target.master_name, sentinel, connection_class=managed, **options
    )
