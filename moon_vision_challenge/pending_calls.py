"""Counts the calls of this process that have waited too long for an answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class PendingCalls:
    """The calls to one neighbour that have no answer yet. Threads share it."""

    def __init__(self) -> None:
        self._late_at: list[float] = []  # when each becomes late, as time.monotonic()

    @contextmanager
    def call(self, late_after_s: float) -> Iterator[None]:
        """Wrap a call that should take less than this."""
        late_at = time.monotonic() + late_after_s
        self._late_at.append(late_at)
        try:
            yield
        finally:
            self._late_at.remove(late_at)

    @property
    def late(self) -> int:
        """The number of late calls."""
        now = time.monotonic()
        return sum(late_at < now for late_at in list(self._late_at))
