"""Keeps a model server that hangs from holding every thread of this process for the whole timeout."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.classification.exceptions import ModelServerUnavailableError

LATE_S = 2.0
MAX_LATE = 2
_FRESH_S = 1.0
_NOT_ASKED = "the model server hangs, so it is not asked"


class HangGuard:
    """Lets calls through. When two are late, it asks whether the model server answers anything at all.

    A slow model answers questions about its state meanwhile, and is left alone. A server that does not is asked for no
    prediction until it does.

    Args:
        is_answering: asks the model server for a model's state, within a second.
    """

    def __init__(self, is_answering: Callable[[], bool]) -> None:
        self._is_answering = is_answering
        self._breaker = CircuitBreaker(open_s=3)
        self._asking = threading.Lock()
        self._answered_at = -_FRESH_S  # time.monotonic()
        self._pending: list[float] = []  # when each call that is not answered yet began; of time.monotonic()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Raises ModelServerUnavailableError at once while the model server is known to hang."""
        if self._breaker.is_tripped or self._are_two_late():
            self._find_out()
        begin = time.monotonic()
        self._pending.append(begin)
        try:
            yield
        finally:
            self._pending.remove(begin)

    def _are_two_late(self) -> bool:
        late = time.monotonic() - LATE_S
        return sum(begin < late for begin in self._pending) >= MAX_LATE

    def _find_out(self) -> None:
        """One caller asks. While it is not yet known that the server hangs, the others wait for what it finds."""
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
                raise ModelServerUnavailableError("the model server hangs: it does not even tell a model's state")
        self._answered_at = time.monotonic()
