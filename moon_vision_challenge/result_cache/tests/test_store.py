"""The store, on a real Redis."""

from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from pytest_django import Settings
from redis import Redis

from moon_vision_challenge.circuit_breaker import CircuitBreaker
from moon_vision_challenge.result_cache import store


@pytest.fixture(autouse=True)
def redis(settings: Settings) -> Iterator[Redis]:
    settings.RESULT_CACHE_TTL_S = 100
    with Redis.from_url(django_settings.REDIS_URL) as redis:
        redis.flushdb()
        yield redis
        redis.flushdb()


def stored_bytes(redis: Redis) -> int:
    return int(redis.get("moon_vision:results:bytes") or 0)


def test_what_is_put_is_found_until_its_time_is_over(redis: Redis) -> None:
    store.put({"a": b"1"})
    assert store.find("a") == b"1"
    assert 0 < redis.ttl("moon_vision:result:a") <= 100
    assert store.find("b") is None


def test_the_oldest_results_go_when_all_are_too_large(redis: Redis, settings: Settings) -> None:
    settings.RESULT_CACHE_MAX_BYTES = 10_000
    for number in range(100):
        store.put({f"{number:03}": b"x" * 100})
    kept = [number for number in range(100) if store.find(f"{number:03}")]
    assert kept == list(range(100 - len(kept), 100))
    assert 10 < len(kept) < 40
    assert stored_bytes(redis) <= 10_000
    assert redis.zcard("moon_vision:results:expiry") == redis.hlen("moon_vision:results:sizes") == len(kept)


def test_the_bound_is_on_what_redis_really_uses(redis: Redis, settings: Settings) -> None:
    settings.RESULT_CACHE_MAX_BYTES = 10**9
    before = redis.info("memory")["used_memory"]
    store.put({f"{number:064}:1:5": b"x" * 300 for number in range(2000)})
    used = redis.info("memory")["used_memory"] - before
    assert 0.5 < used / stored_bytes(redis) < 1.25


def test_a_result_that_is_put_twice_counts_once(redis: Redis) -> None:
    store.put({"a": b"1"})
    size = stored_bytes(redis)
    store.put({"a": b"12"})
    assert stored_bytes(redis) == size + 1
    assert store.find("a") == b"12"


def test_a_result_above_the_bound_is_not_kept(redis: Redis, settings: Settings) -> None:
    settings.RESULT_CACHE_MAX_BYTES = 1000
    store.put({"a": b"x" * 1000})
    assert (store.find("a"), stored_bytes(redis)) == (None, 0)


def test_what_has_expired_is_no_longer_counted(redis: Redis) -> None:
    store.put({"old": b"1"})
    size = stored_bytes(redis)
    redis.zadd("moon_vision:results:expiry", {"moon_vision:result:old": 1})
    store.put({"new": b"1"})
    assert (store.find("old"), stored_bytes(redis)) == (None, size)


def test_wishes_are_found_in_order() -> None:
    store.wish(2, "two")
    assert store.wishes([1, 2, 3]) == [None, "two", None]
    assert store.wishes([]) == []


def test_the_command_forgets_all_results(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    store.put({"a": b"1", "b": b"2"})
    call_command("result_cache", "clear")
    assert capsys.readouterr().out == "2 results are forgotten.\n"
    assert (store.find("a"), stored_bytes(redis)) == (None, 0)


def test_without_redis_nothing_is_found_or_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_breaker", CircuitBreaker(open_s=300))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    store.put({"a": b"1"})
    store.wish(1, "a")
    assert store.find("a") is None
    assert store.wishes([1, 2]) == [None, None]
