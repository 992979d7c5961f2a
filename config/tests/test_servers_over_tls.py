"""PostgreSQL and Redis over TLS, as configured in DATABASE_URL and REDIS_URL."""

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from celery import Celery
from django.conf import settings as django_settings
from django.core.cache.backends.redis import RedisCache
from kombu.exceptions import OperationalError as QueueError
from pytest_django import Settings
from redis.exceptions import ConnectionError as RedisConnectionError

from config.tests.commands import run_python
from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.health import sightings
from moon_vision_challenge.tests.tls_front import TLSFront, tls_front
from moon_vision_challenge.web.throttling import store

Front = Callable[..., TLSFront]


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    created = trustme.CA()
    created.cert_pem.write_to_path(tmp_path / "ca.pem")
    return created


@pytest.fixture
def redis_front(authority: trustme.CA) -> Iterator[TLSFront]:
    parts = urlsplit(django_settings.REDIS_URL)
    with tls_front((str(parts.hostname), int(parts.port or 0)), context_of(authority)) as front:
        yield front


def context_of(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def over_tls(front: TLSFront, query: str = "", host: str = "localhost") -> str:
    password = urlsplit(django_settings.REDIS_URL).password or ""
    login = f":{password}@" if password else ""
    return f"rediss://{login}{host}:{front.port}/0{query}"


def use_cache(url: str) -> None:
    RedisCache([url], {"OPTIONS": django_settings.CACHES["default"]["OPTIONS"]}).set("over-tls", 1)


def use_limits(url: str) -> None:
    connection = store._new_connection(url)
    connection.disconnect()  # type: ignore[no-untyped-call]


def use_sightings(_: str) -> None:
    with sightings.connect() as client:
        client.ping()


def use_broker(url: str) -> None:
    """Use the broker with the options that the settings give Celery for a URL with TLS."""
    # Not the current app: the tests that follow would send their messages through it.
    app = Celery(
        broker=url, broker_use_ssl={"ssl_cert_reqs": "required"}, broker_connection_timeout=60, set_as_current=False
    )
    app.conf.broker_transport_options = {"max_retries": 0, "socket_connect_timeout": 60}
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        connection.default_channel.client.ping()  # type: ignore[attr-defined]


ALL = pytest.mark.parametrize("use", [use_cache, use_limits, use_sightings, use_broker])
Use = Callable[[str], None]


@ALL
def test_redis_is_used_over_tls_with_the_authority_that_the_url_names(
    use: Use, redis_front: TLSFront, tmp_path: Path, settings: Settings
) -> None:
    settings.REDIS_URL = over_tls(redis_front, f"?ssl_ca_certs={tmp_path / 'ca.pem'}")
    use(settings.REDIS_URL)
    assert redis_front.handshakes > 0


@ALL
@pytest.mark.parametrize("is_authority_known", [False, True])
def test_redis_with_a_certificate_that_does_not_prove_its_name_is_not_used(
    use: Use, redis_front: TLSFront, tmp_path: Path, settings: Settings, *, is_authority_known: bool
) -> None:
    known = f"?ssl_ca_certs={tmp_path / 'ca.pem'}"
    settings.REDIS_URL = over_tls(redis_front, known, host="127.0.0.1") if is_authority_known else over_tls(redis_front)
    with pytest.raises((RedisConnectionError, QueueError), match=r"(?i)certificate"):
        use(settings.REDIS_URL)
    assert redis_front.handshakes == 0


def test_the_worker_asks_a_broker_with_tls_only_if_its_certificate_is_right(
    redis_front: TLSFront, tmp_path: Path, settings: Settings
) -> None:
    settings.BROKER_URL = over_tls(redis_front)
    assert not broker.takes_messages()
    settings.BROKER_URL = over_tls(redis_front, f"?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert broker.takes_messages()


@pytest.mark.e2e
def test_the_settings_make_celery_verify_certificates() -> None:
    code = "from config.settings import test; print(test.CELERY_BROKER_USE_SSL, test.CACHES['default']['LOCATION'])"
    environment = {**os.environ, "REDIS_URL": "rediss://h/0"}
    environment.pop("CELERY_BROKER_URL", None)
    result = run_python("-c", code, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "{'ssl_cert_reqs': 'required'} ['rediss://h/0']"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sslmode=verify-full&sslrootcert={ca}", ""),
        ("sslmode=verify-full&sslrootcert={other}", "certificate verify failed"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "root certificate file"),
        ("sslmode=disable", "closed"),
    ],
)
def test_postgresql_is_used_over_tls_as_the_url_says(
    query: str, error: str, authority: trustme.CA, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    given = urlsplit(os.environ["DATABASE_URL"])
    target = (str(given.hostname), int(given.port or 5432))
    with tls_front(target, context_of(authority), is_postgresql=True) as front:
        options = query.format(ca=tmp_path / "ca.pem", other=tmp_path / "other.pem")
        login = f"{given.username}:{given.password}" if given.password else given.username
        url = f"postgres://{login}@localhost:{front.port}/postgres?{options}"
        code = "from config.settings import test as s; import django; django.setup()\n"
        code += "from django.db import connection as c; cursor = c.cursor(); cursor.execute('SELECT 1')\n"
        code += "print(cursor.fetchone(), c.connection.info.ssl_in_use)"
        environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings.test"}
        result = run_python("-c", code, env=environment)
    if error:
        assert result.returncode != 0
        assert error in result.stderr
    else:
        assert result.stdout.strip() == "(1,) True", result.stderr
