"""Reads Redis URLs when the service starts, instead of when it first connects.

In addition to the URLs of redis-py, `sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?master_name=NAME` names
Sentinels, which know the server that accepts writes. `sentinels://` is the same over TLS.
"""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry

_SERVERS = {"redis", "rediss", "unix"}
_SENTINELS = {"sentinel": "redis", "sentinels": "rediss"}
"""The scheme with the same options for a server, by Sentinel scheme."""
_MASTER_NAME = "master_name"
_SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
_SENTINEL_PORT = 26379
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class RedisTarget(NamedTuple):
    """Where Redis is, and how to log in."""

    options: dict[str, Any]
    """The options of redis-py's connections."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Their hosts and ports. Empty if the options name a server."""
    sentinel_options: dict[str, Any] = {}  # never modified
    master_name: str = ""

    @property
    def has_tls(self) -> bool:
        return bool(self.options.get("connection_class") is SSLConnection)


class _UnusableError(Exception):
    """The URL cannot be used. The message completes a sentence that begins with the name of the variable."""


def checked_redis_url(variable: str, url: str) -> str:
    """Return the URL.

    Raises:
        ImproperlyConfigured: the URL cannot be used, for example because an option is unknown. The message contains
            no password.
    """
    try:
        target = _read(url)
        ConnectionPool(**target.options).make_connection()  # does not connect
    except _UnusableError as error:
        raise ImproperlyConfigured(f"{variable} {error}") from error
    except (TypeError, ValueError, RedisError) as error:
        raise ImproperlyConfigured(f"{variable} has an option that cannot be used: {error}") from error
    for name in _FILES:
        path = target.options.get(name)
        if path and not Path(path).is_file():
            raise ImproperlyConfigured(f"{variable} sets {name} to {path}, which is not a file. Correct the path.")
    return url


def read_redis_url(url: str) -> RedisTarget:
    """Return the target that a checked URL names."""
    return _read(url)


def split_redis_url(url: str) -> SplitResult:
    """Split like urlsplit, which rejects a list of hosts that contains an IPv6 address. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in _SENTINELS:
        return urlsplit(url)
    begin = min((rest.index(end) for end in "/?#" if end in rest), default=len(rest))
    return urlsplit(f"{scheme}{separator}hosts{rest[begin:]}")._replace(netloc=rest[:begin])


def _read(url: str) -> RedisTarget:
    parts = split_redis_url(url)
    if parts.scheme not in {*_SERVERS, *_SENTINELS}:
        raise _UnusableError(
            "must begin with redis://, rediss:// (TLS), unix://, sentinel://, or sentinels:// (Sentinel with TLS)."
        )
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise _UnusableError(f"ends with /{database}. Use the number of a database, such as /0.")
    return _read_sentinels(parts) if parts.scheme in _SENTINELS else RedisTarget(parse_url(url))  # type: ignore[no-untyped-call]


def _read_sentinels(parts: SplitResult) -> RedisTarget:
    query = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in query if name == _MASTER_NAME or name in _SENTINEL_OPTIONS}
    if not ours.get(_MASTER_NAME):
        raise _UnusableError("names Sentinels, but not which server. Add ?master_name=NAME, as sentinel.conf calls it.")
    login, _, hosts = parts.netloc.rpartition("@")
    # redis-py reads the rest from the URL of a server.
    others = urlencode([(name, value) for name, value in query if name not in ours])
    server = parts._replace(scheme=_SENTINELS[parts.scheme], netloc=f"{login}@host", query=others).geturl()
    options = parse_url(server)  # type: ignore[no-untyped-call]
    del options["host"]
    return RedisTarget(
        options=options,
        sentinels=tuple(_read_host(host) for host in hosts.split(",")),
        sentinel_options=_sentinel_options(options, ours),
        master_name=ours[_MASTER_NAME],
    )


def _read_host(text: str) -> tuple[str, int]:
    host = urlsplit(f"//{text}")
    try:
        if host.hostname:
            return host.hostname, host.port or _SENTINEL_PORT
    except ValueError:
        pass
    raise _UnusableError(f"names the Sentinel {text!r}. Use HOST:PORT, with a comma between two of them.")


def _sentinel_options(options: dict[str, Any], ours: dict[str, str]) -> dict[str, Any]:
    """Return the options of Sentinels: their own login, and the server's TLS. One that does not answer is skipped."""
    login = {_SENTINEL_OPTIONS[name]: value for name, value in ours.items() if name in _SENTINEL_OPTIONS}
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    has_tls = {"ssl": True} if options.get("connection_class") is SSLConnection else {}
    return {**login, **tls, **has_tls, "retry": Retry(NoBackoff(), 0)}
