"""Keeps a model server that hangs from holding every thread of this process for the whole timeout."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.classification.exceptions import ModelServerUnavailableError
from moon_vision_challenge.pending_calls import PendingCalls

LATE_S = 2.0
MAX_LATE = 2
_FRESH_S = 1.0
_NOT_ASKED = "the model server hangs, so the request is not sent"


class HangGuard:
    """Lets calls through. When two are late, it checks whether the model server answers at all.

    A server that is only slow still reports its state, and calls continue. A server that does not report it gets no
    prediction requests until it does.

    Args:
        is_answering: queries a model's state from the model server, within a second.
    """

    def __init__(self, is_answering: Callable[[], bool]) -> None:
        self._is_answering = is_answering
        self._breaker = CircuitBreaker(open_s=3)
        self._asking = threading.Lock()
        self._answered_at = -_FRESH_S  # time.monotonic()
        self._pending = PendingCalls()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Raise ModelServerUnavailableError at once while the model server is known to hang."""
        if self._breaker.is_tripped or self._pending.late >= MAX_LATE:
            self._find_out()
        with self._pending.call(LATE_S):
            yield

    def _find_out(self) -> None:
        """Find out whether the server hangs. One caller checks, and the others wait for the result."""
        if not self._asking.acquire(blocking=not self._breaker.is_tripped):
            raise ModelServerUnavailableError(_NOT_ASKED)
        try:
            if time.monotonic() - self._answered_at > _FRESH_S:
                self._ask()
        except CircuitOpenError as error:
            raise ModelServerUnavailableError(_NOT_ASKED) from error
        finally:
            self._asking.release()

    def _ask(self) -> None:
        with self._breaker.call(ModelServerUnavailableError):
            if not self._is_answering():
                raise ModelServerUnavailableError("the model server hangs: it does not even report a model's state")
        self._answered_at = time.monotonic()
