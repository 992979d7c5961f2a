"""What DATABASE_URL, REDIS_URL and CELERY_BROKER_URL say wins, and what they cannot say is an error at start."""

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from celery import Celery
from django.conf import settings as django_settings
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError as QueueError
from pytest_django import Settings
from redis.exceptions import ConnectionError as RedisConnectionError

from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.health import sightings
from moon_vision_challenge.postgresql.url import read_url
from moon_vision_challenge.redis_broker import celery_broker
from moon_vision_challenge.redis_url import checked_redis_url
from moon_vision_challenge.tests.tls_front import TLSFront, tls_front
from moon_vision_challenge.web.throttling import store

DATABASE = "postgres://u:the-password@h:1/n"


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a new process, because settings are read once."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=django_settings.ROOT_DIR, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("CONN_MAX_AGE=0", {"CONN_MAX_AGE": 0}),
        ("conn_max_age=7", {"CONN_MAX_AGE": 7}),
        ("CONN_MAX_AGE=None", {"CONN_MAX_AGE": None}),
        ("CONN_HEALTH_CHECKS=false", {"CONN_HEALTH_CHECKS": False}),
        ("DISABLE_SERVER_SIDE_CURSORS=true", {"DISABLE_SERVER_SIDE_CURSORS": True}),
        ("DISABLE_SERVER_SIDE_CURSORS=0", {"DISABLE_SERVER_SIDE_CURSORS": False}),
    ],
)
def test_what_the_url_says_about_django_is_kept(query: str, expected: dict[str, object]) -> None:
    usual = read_url(DATABASE)
    usual.pop("OPTIONS", None)
    found = read_url(f"{DATABASE}?{query}")
    assert found.pop("OPTIONS", {}) == {}
    assert found == usual | expected


def test_what_the_url_says_about_libpq_is_kept() -> None:
    found = read_url(f"{DATABASE}?sslmode=verify-full&sslrootcert=/ca.pem&target_session_attrs=read-write")
    assert found["OPTIONS"] == {
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "target_session_attrs": "read-write",
    }


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"{DATABASE}?sslmode=", "sslmode"),
        (f"{DATABASE}?sslmode=require&sslmode=disable", "sslmode"),
        (f"{DATABASE}?CONN_MAX_AGE=soon", "CONN_MAX_AGE"),
        (f"{DATABASE}?CONN_MAX_AGE=-1", "CONN_MAX_AGE"),
        (f"{DATABASE}?CONN_HEALTH_CHECKS=maybe", "CONN_HEALTH_CHECKS"),
        (f"{DATABASE}?ATOMIC_REQUESTS=true", "ATOMIC_REQUESTS"),
        (f"{DATABASE}?autocommit=false", "autocommit"),
        (f"{DATABASE}?pool=true", "pool"),
        (f"{DATABASE}?server_side_binding=true", "server_side_binding"),
        ("mysql://u:the-password@h:1/n", "DATABASE_URL"),
    ],
)
def test_what_the_url_cannot_say_is_an_error_that_names_it(url: str, named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=named) as caught:
        read_url(url)
    assert "the-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://:the-password@h/0?socket_timout=1", "socket_timout"),
        ("redis://:the-password@h/0?socket_timeout=soon", "socket_timeout"),
        ("redis://:the-password@h/0?ssl_ca_certs=/ca.pem", "ssl_ca_certs"),  # without TLS
        ("rediss://:the-password@h/0?ssl_cert_reqs=perhaps", "perhaps"),
        ("redis://:the-password@h/first", "first"),
        ("http://:the-password@h/0", "REDIS_URL"),
    ],
)
def test_an_option_that_redis_does_not_know_is_an_error(url: str, named: str) -> None:
    for check in (checked_redis_url, celery_broker):
        with pytest.raises(ImproperlyConfigured, match=named) as caught:
            check("REDIS_URL", url)
        assert "the-password" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://h", "redis://:p@h:1/3", "rediss://u:p@h/0?ssl_ca_certs={file}", "unix:///s"])
def test_a_url_that_can_be_used_is_returned(url: str) -> None:
    given = url.format(file=__file__)
    assert checked_redis_url("REDIS_URL", given) == celery_broker("CELERY_BROKER_URL", given).url == given


SENTINELS = "sentinel://u:the-password@a:1,b,[::1]:2/3?master_name=m"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sentinel://:the-password@a:1/0", "master_name"),
        ("sentinel://:the-password@a:1/0?master_name=", "master_name"),
        ("sentinel://:the-password@/0?master_name=m", "HOST:PORT"),
        ("sentinel://:the-password@a:1,/0?master_name=m", "HOST:PORT"),
        ("sentinel://:the-password@a:one/0?master_name=m", "'a:one'"),
        ("sentinel://:the-password@a:99999/0?master_name=m", "'a:99999'"),
        ("sentinel://:the-password@a:1/first?master_name=m", "first"),
        ("sentinel://:the-password@a:1/0?master_name=m&ssl_ca_certs=/ca.pem", "ssl_ca_certs"),  # without TLS
        ("sentinel://:the-password@a:1/0?master_name=m&sentinel_pasword=p", "sentinel_pasword"),
        ("sentinels://:the-password@a:1/0?master_name=m&ssl_cert_reqs=perhaps", "perhaps"),
        ("sentinels://:the-password@a:1/0?master_name=m&ssl_ca_certs=/nowhere.pem", "/nowhere.pem"),
        ("rediss://:the-password@a:1/0?ssl_ca_certs=/nowhere.pem", "/nowhere.pem"),
    ],
)
def test_what_cannot_be_used_of_sentinels_is_an_error_that_names_it(url: str, named: str) -> None:
    for check in (checked_redis_url, celery_broker):
        with pytest.raises(ImproperlyConfigured, match=re.escape(named)) as caught:
            check("REDIS_URL", url)
        assert "the-password" not in str(caught.value)


def test_celery_gets_its_own_form_of_sentinels() -> None:
    broker = celery_broker("REDIS_URL", f"{SENTINELS}&sentinel_username=s&sentinel_password=t")
    login = "sentinel://u:the-password@"
    assert broker.url == f"{login}a:1/3;{login}b:26379/3;{login}[::1]:2/3"
    assert broker.transport_options["master_name"] == "m"
    assert broker.transport_options["sentinel_kwargs"].items() >= {"username": "s", "password": "t"}.items()
    assert broker.use_ssl is None


def test_celery_verifies_certificates_of_sentinels_and_servers() -> None:
    broker = celery_broker("REDIS_URL", f"{SENTINELS}&ssl_ca_certs={__file__}".replace("sentinel:", "sentinels:", 1))
    assert broker.use_ssl == {"ssl_cert_reqs": "required", "ssl_ca_certs": __file__}
    assert broker.transport_options["sentinel_kwargs"].items() >= {"ssl": True, "ssl_ca_certs": __file__}.items()


def test_an_option_that_only_celery_does_not_know_is_an_error_for_the_broker() -> None:
    url = "redis://h/0?health_check_interval=5"
    assert checked_redis_url("REDIS_URL", url)
    with pytest.raises(ImproperlyConfigured, match="CELERY_BROKER_URL sets health_check_interval"):
        celery_broker("CELERY_BROKER_URL", url)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DATABASE_URL", f"{DATABASE}?CONN_MAX_AGE=x"), ("REDIS_URL", "redis://h?x=1"), ("CELERY_BROKER_URL", "amqp://h")],
)
def test_the_service_does_not_start_with_such_a_url(variable: str, value: str) -> None:
    code = "import config.settings.test"
    environment = {**os.environ, variable: value}
    result = run_python(code, environment)
    assert result.returncode != 0
    assert variable in result.stderr.splitlines()[-1]


def test_only_one_module_connects_to_redis() -> None:
    """Others would know neither Sentinels nor their TLS."""
    service = django_settings.ROOT_DIR / "moon_vision_challenge"
    sources = {path: path.read_text() for path in service.rglob("*.py") if "tests" not in path.parts}
    connects = re.compile(r"Redis\((?!connection_pool)|[.]from_url\(")
    connecting = {path.name for path, text in sources.items() if connects.search(text)}
    assert connecting <= {"redis_clients.py", "conftest.py"}


# TLS

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
    """As the settings configure Celery for a URL with TLS."""
    # Not the current app, through which the tests that follow would send their messages.
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


def test_the_settings_make_celery_verify_certificates() -> None:
    code = "from config.settings import test; print(test.CELERY_BROKER_USE_SSL, test.CACHES['default']['LOCATION'])"
    environment = {**os.environ, "REDIS_URL": "rediss://h/0"}
    environment.pop("CELERY_BROKER_URL", None)
    result = run_python(code, environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "{'ssl_cert_reqs': 'required'} ['rediss://h/0']"


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
        result = run_python(code, environment)
    if error:
        assert result.returncode != 0
        assert error in result.stderr
    else:
        assert result.stdout.strip() == "(1,) True", result.stderr
