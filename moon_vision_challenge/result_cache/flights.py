"""Shares one calculation among equal concurrent requests of a process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from moon_vision_challenge.waiting_threads import waiting

T = TypeVar("T")


class Flights(Generic[T]):
    """The calculations that are in progress, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Future[T]] = {}

    def join(self, key: str, calculate: Callable[[], T]) -> tuple[T, bool]:
        """Return what `calculate` returns, or raise what it raises. Also return whether another thread has called it.

        An error in the other thread is also this caller's error, because both requested the same.
        """
        with self._lock:
            flight = self._flights.get(key)
            if leads := flight is None:
                flight = self._flights[key] = Future()
        if not leads:
            with waiting():
                return flight.result(), True
        try:
            result = calculate()
        except BaseException as error:
            self._end(key)
            flight.set_exception(error)
            raise
        self._end(key)
        flight.set_result(result)
        return result, False

    def _end(self, key: str) -> None:
        with self._lock:
            del self._flights[key]
