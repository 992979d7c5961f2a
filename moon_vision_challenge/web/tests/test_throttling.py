from collections.abc import Iterator

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.tests.silent_server import SilentServer
from moon_vision_challenge.web.throttling import AnonThrottle, _redis, _redis_breaker

URL = "/api/v0/inferences/"


@pytest.fixture
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(AnonThrottle, "rate", "32/day", raising=False)  # Redis' own clock, which ends counters, goes on
    now = [1_000_000.0]
    monkeypatch.setattr(AnonThrottle, "timer", lambda _: now[0])
    return now


def test_the_request_above_the_rate_is_429_and_says_when_to_come_back(
    client: APIClient, frozen_clock: list[float]
) -> None:
    statuses = [client.post(URL, {}, format="json").status_code for _ in range(32)]
    assert statuses == [400] * 32
    refused = client.post(URL, {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert int(refused["Retry-After"]) >= 1
    frozen_clock[0] += int(refused["Retry-After"])
    assert client.post(URL, {}, format="json").status_code == 400


def test_addresses_are_counted_apart(client: APIClient, frozen_clock: list[float]) -> None:
    for _ in range(32):
        client.post(URL, {}, format="json", REMOTE_ADDR="192.0.2.1")
    assert client.post(URL, {}, format="json", REMOTE_ADDR="192.0.2.1").status_code == 429
    assert client.post(URL, {}, format="json", REMOTE_ADDR="192.0.2.2").status_code == 400


def test_a_client_cannot_choose_its_address_by_a_header(client: APIClient, frozen_clock: list[float]) -> None:
    for number in range(32):
        client.post(URL, {}, format="json", HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
    assert client.post(URL, {}, format="json", HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 429


def test_the_count_is_shared_through_redis(client: APIClient, frozen_clock: list[float]) -> None:
    for _ in range(32):
        client.post(URL, {}, format="json")
    _redis.cache_clear()  # as another process: a connection of its own, nothing in memory
    assert client.post(URL, {}, format="json").status_code == 429


@pytest.mark.usefixtures("frozen_clock")
def test_counters_expire_with_their_period(client: APIClient, settings: Settings) -> None:
    client.post(URL, {}, format="json")
    redis = _redis(settings.REDIS_URL)
    (counter,) = redis.keys("throttle_anon_*")
    assert 0 < redis.ttl(counter) <= 24 * 3600


@pytest.fixture
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_redis_breaker, "_open_s", 600)
    yield
    _redis_breaker.close()


@pytest.mark.usefixtures("_closed_breaker")
def test_a_redis_that_is_away_lets_everybody_in(client: APIClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    assert client.post(URL, {}, format="json").status_code == 400


@pytest.mark.usefixtures("_closed_breaker")
def test_a_redis_that_hangs_is_waited_for_once(client: APIClient, settings: Settings) -> None:
    with SilentServer() as silent:
        settings.REDIS_URL = f"redis://{silent.address}/0"
        assert client.post(URL, {}, format="json").status_code == 400
        asked = silent.connections()
        assert client.post(URL, {}, format="json").status_code == 400
        assert silent.connections() == asked > 0
