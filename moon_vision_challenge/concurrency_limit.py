"""Limits how many threads of a process wait for the same thing at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from moon_vision_challenge.waiting_threads import waiting


class ConcurrencyLimit:
    """Gives out places while any are free. Callers never wait for one.

    Args:
        limit: returns the number of places. It is called for each place.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Hold a place inside the block. Yields False if all places are taken."""
        with self._lock:
            has_place = self._taken < self._limit()
            self._taken += has_place
        try:
            with waiting():
                yield has_place
        finally:
            with self._lock:
                self._taken -= has_place
