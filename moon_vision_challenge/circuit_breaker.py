"""Stops calls to an unresponsive neighbour for a while, because each one would take the whole timeout."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


class CircuitOpenError(Exception):
    """The neighbour has failed, and either it is too early to try again or a probe is in progress."""


class CircuitBreaker:
    """A breaker for one neighbour in one process. Threads share it.

    It is closed at first, and every call goes through. A failure opens it for `open_s`. Then it is half-open: one probe
    at a time finds out whether the neighbour answers, and closes the breaker or opens it again.

    Args:
        open_s: how long, in seconds, it stays open after a failure.
        probe: queries the neighbour in a thread. Any exception is a failure. Without it, the next call is the probe.
        clock: returns the time, in seconds.
    """

    def __init__(
        self,
        open_s: float,
        *,
        probe: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_s = open_s
        self._probe = probe
        self._clock = clock
        self._open_until = 0.0
        self._is_tripped = False
        self._is_probing = False
        self._lock = threading.Lock()

    @property
    def is_tripped(self) -> bool:
        """Whether the neighbour has failed, and has not answered since."""
        return self._is_tripped

    @contextmanager
    def call(self, *failures: type[Exception]) -> Iterator[None]:
        """Wrap a call to the neighbour.

        `failures` are the exceptions that mean that it does not answer. Any other exception counts as an answer.

        Raises CircuitOpenError at once if the neighbour should not be called.
        """
        is_probe = self._admit()
        try:
            yield
        except Exception as error:
            if isinstance(error, failures):
                self.trip()
            else:
                self.close()
            raise
        else:
            self.close()
        finally:
            if is_probe:
                self._is_probing = False

    def trip(self) -> None:
        """Open it: the neighbour has failed."""
        with self._lock:
            self._is_tripped = True
            self._open_until = self._clock() + self._open_s

    def close(self) -> None:
        """Close it: the neighbour has answered."""
        if self._is_tripped:
            with self._lock:
                self._is_tripped = False

    def _admit(self) -> bool:
        """Return whether this call is the probe."""
        if not self._is_tripped:
            return False
        with self._lock:
            if self._is_probing or self._clock() < self._open_until:
                raise CircuitOpenError
            self._is_probing = True
        if self._probe is None:
            return True
        threading.Thread(target=self._find_out, args=(self._probe,), name="probe", daemon=True).start()
        raise CircuitOpenError

    def _find_out(self, probe: Callable[[], object]) -> None:
        try:
            probe()
        except Exception as error:  # noqa: BLE001  # the neighbour has not answered as it should
            logger.debug("a probe has failed: %s", error)
            self.trip()
        else:
            self.close()
        finally:
            self._is_probing = False
