"""Limits in Redis: one command per request, and what happens without Redis."""

import socket
import threading
from typing import Any

import pytest
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.web.tests.limited import V1, fields, post
from moon_vision_challenge.web.throttling import middleware, store
from moon_vision_challenge.web.throttling.store import Bucket

pytestmark = pytest.mark.usefixtures("clock")

# Concurrent requests


def test_requests_at_a_time_are_limited(client: APIClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_MAX_CONCURRENT_REQUESTS = 1
    inner: list[Any] = []
    take = middleware._take

    def take_twice(*arguments: Any) -> Any:
        answer = take(*arguments)
        if not inner:  # while the first is in progress, another arrives
            inner.append(None)
            inner[0] = post(APIClient())
        return answer

    monkeypatch.setattr(middleware, "_take", take_twice)
    outer = post(client)
    assert (outer.status_code, inner[0].status_code) == (400, 429)
    assert inner[0]["Retry-After"] == "1"
    assert fields(outer, "RateLimit-Policy")["concurrent"] == {"q": "1", "qu": '"concurrent-requests"'}
    assert [post(client).status_code for _ in range(5)] == [400] * 5  # each frees its place


def test_the_place_of_a_process_that_died_is_free_after_its_lease(clock: Clock) -> None:
    limit = store.Concurrency("ann", 1)
    assert store.take([], limit).is_allowed
    assert not store.take([], limit).is_allowed
    clock.now_s += store._LEASE_S + 1
    assert store.take([], limit).is_allowed


# Redis


def test_many_threads_take_no_more_than_there_is() -> None:
    bucket = Bucket("test", "x", 50, 60)
    allowed: list[bool] = []

    def take() -> None:
        allowed.extend(store.take([bucket]).is_allowed for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 50


def test_a_request_is_one_command(client: APIClient, settings: Settings, make_token: Any) -> None:
    settings.API_TOKEN_RATE = parse_rates("100/s,1000/h")
    settings.API_OWNER_IMAGES, settings.API_OWNER_BYTES = parse_rates("100/d"), parse_rates("1000000/d")
    token = make_token("ann", "a")
    post(client, V1, **token)
    redis = Redis.from_url(settings.REDIS_URL)
    before = redis.info("commandstats")
    post(client, V1, **token)
    after = redis.info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert calls["cmdstat_evalsha"] == 1
    assert sum(calls[name] for name in calls if name in ("cmdstat_eval", "cmdstat_zrem", "cmdstat_incr")) == 0


def test_keys_expire_when_their_bucket_is_full(
    client: APIClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "clock", None)
    settings.API_ANON_RATE = parse_rates("60/m")
    for _ in range(30):
        post(client)
    redis = Redis.from_url(settings.REDIS_URL)
    (key,) = redis.keys("moon_vision:limit:*")
    assert 0 < redis.pttl(key) <= 30_000


def test_a_redis_that_has_lost_the_script_gets_it_again(client: APIClient, settings: Settings) -> None:
    post(client)
    Redis.from_url(settings.REDIS_URL).script_flush()
    assert fields(post(client))["v0-address-1s"]["r"] == "30"


def test_a_connection_that_redis_has_closed_is_replaced(client: APIClient, settings: Settings) -> None:
    post(client)
    redis = Redis.from_url(settings.REDIS_URL)
    for each in redis.client_list():
        if each["cmd"].startswith("eval"):
            redis.client_kill_filter(_id=each["id"])
    assert fields(post(client))["v0-address-1s"]["r"] == "30"


@pytest.mark.parametrize(("fail_closed", "status"), [(False, 400), (True, 503)])
def test_without_redis_requests_pass_or_are_refused_as_set(
    client: APIClient, settings: Settings, fail_closed: bool, status: int
) -> None:
    settings.API_LIMITS_FAIL_CLOSED = fail_closed
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    response, *others = [post(client) for _ in range(3)]
    assert {each.status_code for each in (response, *others)} == {status}
    if fail_closed:
        assert response.json()["code"] == "limits_unavailable"
        assert int(response["Retry-After"]) >= 1
        assert client.get("/nothing/").status_code == 503
    assert client.get("/livez").status_code == 200


def test_a_redis_at_its_memory_limit_is_as_good_as_none(client: APIClient, settings: Settings) -> None:
    redis = Redis.from_url(settings.REDIS_URL)
    redis.config_set("maxmemory", "1")
    try:
        assert post(client).status_code == 400
    finally:
        redis.config_set("maxmemory", "0")


def test_a_redis_that_hangs_is_waited_for_once(client: APIClient, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert [post(client).status_code for _ in range(5)] == [400] * 5
        silent.settimeout(5)
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):  # no other connection has arrived
            silent.accept()
