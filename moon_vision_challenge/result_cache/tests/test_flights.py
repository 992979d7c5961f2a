import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from moon_vision_challenge.result_cache.flights import Flights


class Calculation:
    """A calculation that continues when it is released, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.has_begun = threading.Event()
        self.is_released = threading.Event()
        self.calls = 0
        self._error = error

    def __call__(self) -> int:
        self.calls += 1
        self.has_begun.set()
        assert self.is_released.wait(60)
        if self._error:
            raise self._error
        return 7


def test_equal_requests_at_the_same_moment_share_one_calculation() -> None:
    flights, calculation = Flights[int](), Calculation()
    with ThreadPoolExecutor(4) as threads:
        leader = threads.submit(flights.join, "a", calculation)
        assert calculation.has_begun.wait(60)
        followers = [threads.submit(flights.join, "a", calculation) for _ in range(3)]
        calculation.is_released.set()
        assert leader.result(60) == (7, False)
        results = [follower.result(60) for follower in followers]
    assert {result for result, _ in results} == {7}
    assert calculation.calls == 1 + sum(not has_joined for _, has_joined in results)


def test_an_error_is_everybodys_and_the_next_request_calculates_again() -> None:
    flights, calculation = Flights[int](), Calculation(ValueError("no"))
    calculation.is_released.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            flights.join("a", calculation)
    assert calculation.calls == 2


def test_a_follower_gets_the_leaders_error() -> None:
    flights, calculation = Flights[int](), Calculation(ValueError("no"))
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(flights.join, "a", calculation)
        assert calculation.has_begun.wait(60)
        follower = threads.submit(flights.join, "a", calculation)
        calculation.is_released.set()
        for each in (leader, follower):
            with pytest.raises(ValueError, match="no"):
                each.result(60)


def test_different_requests_do_not_wait_for_each_other() -> None:
    flights, calculation = Flights[int](), Calculation()
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(flights.join, "a", calculation)
        assert calculation.has_begun.wait(60)
        assert flights.join("b", lambda: 8) == (8, False)
        calculation.is_released.set()
        assert leader.result(60) == (7, False)
