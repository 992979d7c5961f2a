"""Checks the URLs of Redis when the service starts, instead of when it first connects."""

from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ImproperlyConfigured
from redis import ConnectionPool
from redis.exceptions import RedisError

_SCHEMES = {"redis", "rediss", "unix"}


def checked_redis_url(variable: str, url: str) -> str:
    """Return the URL.

    Raises:
        ImproperlyConfigured: the URL cannot be used, for example because an option is unknown. The message holds no
            password.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ImproperlyConfigured(f"{variable} must begin with redis://, rediss:// (TLS), or unix://.")
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdigit():
        raise ImproperlyConfigured(f"{variable} ends with /{database}. Use the number of a database, such as /0.")
    try:
        ConnectionPool.from_url(url).make_connection()  # does not connect
    except (TypeError, ValueError, RedisError) as error:
        raise ImproperlyConfigured(f"{variable} has an option that cannot be used: {error}") from error
    return url


def checked_broker_url(variable: str, url: str) -> str:
    """Return the URL, which Celery uses, too. Raises ImproperlyConfigured as `checked_redis_url` does."""
    checked_redis_url(variable, url)
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if not name.startswith("ssl_"):
            raise ImproperlyConfigured(f"{variable} sets {name}. Celery knows only options that begin with ssl_.")
    return url
