"""Stops asking a neighbour that does not answer, for a while: each try would cost its caller the whole timeout."""

import time


class CircuitBreaker:
    """One per neighbour and process. Threads may share it: at worst, several of them trip it at once.

    Args:
        open_s: how long, in seconds, it stays open after a failure.
    """

    def __init__(self, open_s: float) -> None:
        self._open_s = open_s
        self._open_until = 0.0  # time.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether callers should leave the neighbour alone."""
        return time.monotonic() < self._open_until

    def trip(self) -> None:
        """The neighbour has failed: leave it alone from now on."""
        self._open_until = time.monotonic() + self._open_s

    def close(self) -> None:
        """Ask the neighbour again."""
        self._open_until = 0.0
