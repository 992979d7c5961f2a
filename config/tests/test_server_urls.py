"""Options in DATABASE_URL, REDIS_URL, and CELERY_BROKER_URL take precedence. Unusable ones are errors at startup."""

import os
import re

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from config.tests.commands import run_python
from moon_vision_challenge.postgresql.url import read_url
from moon_vision_challenge.redis_broker import celery_broker
from moon_vision_challenge.redis_url import checked_redis_url

DATABASE = "postgres://u:the-password@h:1/n"


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


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("variable", "value"),
    [("DATABASE_URL", f"{DATABASE}?CONN_MAX_AGE=x"), ("REDIS_URL", "redis://h?x=1"), ("CELERY_BROKER_URL", "amqp://h")],
)
def test_the_service_does_not_start_with_such_a_url(variable: str, value: str) -> None:
    code = "import config.settings.test"
    environment = {**os.environ, variable: value}
    result = run_python("-c", code, env=environment)
    assert result.returncode != 0
    assert variable in result.stderr.splitlines()[-1]


def test_only_one_module_connects_to_redis() -> None:
    """Other modules would support neither Sentinels nor their TLS."""
    service = django_settings.ROOT_DIR / "moon_vision_challenge"
    sources = {path: path.read_text() for path in service.rglob("*.py") if "tests" not in path.parts}
    connects = re.compile(r"Redis\((?!connection_pool)|[.]from_url\(")
    connecting = {path.name for path, text in sources.items() if connects.search(text)}
    assert connecting <= {"redis_clients.py", "conftest.py"}
