import time

import pytest

from moon_vision_challenge.circuit_breaker import CircuitBreaker


def test_it_is_open_for_its_time_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1000.0, 1004.9, 1005.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    breaker = CircuitBreaker(5)
    before = breaker.is_open
    breaker.trip()
    assert (before, breaker.is_open, breaker.is_open) == (False, True, False)


def test_closing_it_ends_the_wait() -> None:
    breaker = CircuitBreaker(5)
    breaker.trip()
    breaker.close()
    assert not breaker.is_open


def test_after_its_time_one_caller_finds_out_and_the_others_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    breaker = CircuitBreaker(5)
    assert breaker.lets_through()
    breaker.trip()
    assert not breaker.lets_through()
    now += 5.1
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    breaker.close()
    assert [breaker.lets_through() for _ in range(3)] == [True, True, True]
