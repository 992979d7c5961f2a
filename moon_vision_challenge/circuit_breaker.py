"""Stops calls to a service that does not answer for a while, because each one would take the whole timeout."""

import threading
import time


class CircuitBreaker:
    """One per service and process. Threads may share it: at worst, several of them trip it at once.

    Args:
        open_s: how long, in seconds, it stays open after a failure.
    """

    def __init__(self, open_s: float) -> None:
        self._open_s = open_s
        self._open_until = 0.0  # time.monotonic()
        self._is_tripped = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether callers should leave the service alone."""
        return time.monotonic() < self._open_until

    @property
    def is_tripped(self) -> bool:
        """Whether the neighbour has failed and nobody has found it answering since."""
        return self._is_tripped

    def lets_through(self) -> bool:
        """Whether the caller may call the service.

        After the open time, one caller may try. The others are held back until it calls `close` or `trip`.
        """
        if not self._is_tripped:
            return True
        with self._lock:
            if self.is_open:
                return False
            self._open_until = time.monotonic() + self._open_s
            return True

    def trip(self) -> None:
        """Open it: the service has failed, so leave it alone for now."""
        self._is_tripped = True
        self._open_until = time.monotonic() + self._open_s

    def close(self) -> None:
        """Close it: call the service again."""
        self._is_tripped = False
        self._open_until = 0.0
