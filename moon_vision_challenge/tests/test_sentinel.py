"""All uses of Redis find the master through Sentinels, before and after it fails."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import trustme
from celery import Celery
from django.conf import settings as django_settings
from django.core.cache.backends.redis import RedisCache
from kombu.exceptions import OperationalError as QueueError
from pytest_django import Settings
from redis.exceptions import RedisError

from chaos.machines.redis_group import RedisGroup, redis_group
from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.health import sightings
from moon_vision_challenge.redis_broker import celery_broker
from moon_vision_challenge.redis_clients import connect
from moon_vision_challenge.result_cache import store as result_store
from moon_vision_challenge.web.throttling import store
from moon_vision_challenge.web.throttling.store import Bucket, LimitsUnavailableError
from native.environment import free_port
from native.process import poll
from native.redis import find_server

pytestmark = pytest.mark.e2e  # six servers

LIMIT_S = 60
FLOWER_LIMIT_S = 180
FLOWER_LOGIN = ("someone", "secret")


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
    with redis_group(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(scope="module")
def group_with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
    said = subprocess.run([find_server(), "-"], input=b"tls-port 0\nport x\n", capture_output=True, check=False)
    if b"'tls-port 0'" in said.stderr + said.stdout:
        pytest.skip("this redis-server was built without TLS")
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: folder / f"{name}.pem" for name in ("tls-ca-cert-file", "tls-cert-file", "tls-key-file")}
    authority.cert_pem.write_to_path(files["tls-ca-cert-file"])
    certificate.cert_chain_pems[0].write_to_path(files["tls-cert-file"])
    certificate.private_key_pem.write_to_path(files["tls-key-file"])
    with redis_group(folder, files) as started:
        yield started


def use_cache(url: str) -> bool:
    cache = RedisCache([url], {"OPTIONS": django_settings.CACHES["default"]["OPTIONS"]})
    cache.set("through-sentinels", 1)
    return bool(cache.get("through-sentinels") == 1)


def use_limits(_: str) -> bool:
    store._redis_breaker.close()
    return store.take([Bucket("through-sentinels", "", quota=1_000_000, window_s=1)]).is_allowed


def use_result_cache(_: str) -> bool:
    result_store._breaker.close()
    result_store.put({"result-through-sentinels": b"1"})
    return result_store.find("result-through-sentinels") == b"1"


def use_sightings(_: str) -> bool:
    with sightings.connect() as client:
        return bool(client.set("sighting-through-sentinels", 1))


def ask_broker(_: str) -> bool:
    return broker.takes_messages()


def use_broker(url: str) -> bool:
    """Use the broker as the settings configure Celery."""
    options = celery_broker("CELERY_BROKER_URL", url)
    app = Celery(broker=options.url, broker_use_ssl=options.use_ssl, set_as_current=False)
    app.conf.broker_transport_options = (
        django_settings.CELERY_BROKER_TRANSPORT_OPTIONS | options.transport_options | {"socket_timeout": LIMIT_S}
    )
    with app.connection_for_write() as connection, connection.SimpleQueue("queue-through-sentinels") as queue:
        queue.put("message")
        message = queue.get(timeout=LIMIT_S)
        message.ack()
        return bool(message.payload == "message")


USES: list[Callable[[str], bool]] = [use_cache, use_limits, use_result_cache, use_sightings, ask_broker, use_broker]


def works(use: Callable[[str], bool], url: str) -> bool:
    try:
        return use(url)
    except (RedisError, QueueError, LimitsUnavailableError):
        return False


@pytest.fixture
def set_url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[RedisGroup], str]:
    settings.RESULT_CACHE_TTL_S, settings.RESULT_CACHE_MAX_BYTES = 60, 1_000_000
    monkeypatch.setattr(store, "_TIMEOUT_S", LIMIT_S)  # the machine may be busy
    monkeypatch.setattr(result_store, "_TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(sightings, "TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(broker, "_TIMEOUT_S", LIMIT_S)

    def set_both(group: RedisGroup) -> str:
        settings.REDIS_URL = settings.BROKER_URL = group.url
        return group.url

    return set_both


def test_each_use_goes_on_with_the_next_master(set_url: Callable[[RedisGroup], str], group: RedisGroup) -> None:
    url = set_url(group)
    assert [use.__name__ for use in USES if not use(url)] == []
    old = group.kill_master()
    for use in USES:
        assert poll(lambda use=use: works(use, url), LIMIT_S), use.__name__  # type: ignore[misc]
    assert group.master() != old
    group.revive(old)


@pytest.mark.parametrize("use", USES)
def test_each_use_works_over_tls(
    use: Callable[[str], bool], set_url: Callable[[RedisGroup], str], group_with_tls: RedisGroup
) -> None:
    assert use(set_url(group_with_tls))


@pytest.mark.parametrize("use", USES)
def test_no_use_accepts_an_unknown_authority(
    use: Callable[[str], bool], set_url: Callable[[RedisGroup], str], group_with_tls: RedisGroup, settings: Settings
) -> None:
    set_url(group_with_tls)
    url = re.sub(r"&ssl_ca_certs=[^&]*", "", group_with_tls.url)
    settings.REDIS_URL = settings.BROKER_URL = url
    assert not works(use, url)


@pytest.fixture
def flower(group: RedisGroup, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.flower_server", "--address=127.0.0.1", f"--port={port}"],
            env={**os.environ, "REDIS_URL": group.url, "FLOWER_BASIC_AUTH": ":".join(FLOWER_LOGIN)},
            stdout=log,
            stderr=log,
        )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(FLOWER_LIMIT_S)


def messages_shown(flower: str) -> int | None:
    """Return how many messages Flower finds in the default queue."""
    try:
        answer = requests.get(f"{flower}/api/queues/length", auth=FLOWER_LOGIN, timeout=LIMIT_S)
    except requests.ConnectionError:
        return None
    return sum(queue["messages"] for queue in answer.json()["active_queues"]) if answer.ok else None


def test_flower_shows_the_queue_of_each_master(group: RedisGroup, flower: str) -> None:
    with connect(group.url, timeout_s=LIMIT_S) as redis:
        redis.lpush("celery", "one", "two")
        redis.wait(2, 1000 * LIMIT_S)
    assert poll(lambda: messages_shown(flower) == 2, FLOWER_LIMIT_S)
    old = group.kill_master()
    assert poll(lambda: group.has_failed_over(old), FLOWER_LIMIT_S)
    assert poll(lambda: messages_shown(flower) == 2, FLOWER_LIMIT_S)
    group.revive(old)
