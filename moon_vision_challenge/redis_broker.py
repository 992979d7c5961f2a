"""Translates the Redis URL for Celery, which uses a different form for Sentinels and different names for options."""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from django.core.exceptions import ImproperlyConfigured

from moon_vision_challenge.redis_url import RedisTarget, checked_redis_url, read_redis_url, split_redis_url

_KNOWN_TO_CELERY = ("ssl_", "sentinel_", "master_name")


class CeleryBroker(NamedTuple):
    """Settings for Celery: https://docs.celeryq.dev/en/stable/userguide/configuration.html#broker-settings"""

    url: str
    transport_options: dict[str, Any]
    use_ssl: dict[str, Any] | None


def celery_broker(variable: str, url: str) -> CeleryBroker:
    """Raises ImproperlyConfigured as `checked_redis_url` does, and for options that Celery alone does not know."""
    checked_redis_url(variable, url)
    for name, _ in parse_qsl(split_redis_url(url).query, keep_blank_values=True):
        if not name.startswith(_KNOWN_TO_CELERY):
            raise ImproperlyConfigured(f"{variable} sets {name}. Celery knows only options that begin with ssl_.")
    target = read_redis_url(url)
    if not target.sentinels:  # without use_ssl, kombu does not verify the server's certificate
        return CeleryBroker(url, {}, {"ssl_cert_reqs": "required"} if target.has_tls else None)
    tls = {name: value for name, value in target.options.items() if name.startswith("ssl_")}
    return CeleryBroker(
        url=";".join(_sentinel_url(target, host, port) for host, port in target.sentinels),
        transport_options={"master_name": target.master_name, "sentinel_kwargs": target.sentinel_options},
        use_ssl={"ssl_cert_reqs": "required"} | tls if target.has_tls else None,
    )


def _sentinel_url(target: RedisTarget, host: str, port: int) -> str:
    """Return the URL of a Sentinel, with the login and database of the server."""
    user, password = (quote(target.options.get(name, ""), safe="") for name in ("username", "password"))
    login = f"{user}:{password}@" if user or password else ""
    address = f"[{host}]" if ":" in host else host
    return f"sentinel://{login}{address}:{port}/{target.options.get('db', 0)}"
