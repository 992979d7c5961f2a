"""Who may run a model now: as many requests as there are cores, in the order they came."""

from __future__ import annotations  # threading.Lock is a type only from Python 3.13 on

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class QueueFullError(RuntimeError):
    """Too many requests wait already."""


class InferenceQueue:
    """A semaphore that is fair, which threading.Semaphore is not, and whose queue is bounded."""

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._lock = threading.Lock()
        self._free = slots
        self._max_waiting = max_waiting
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Waits for its turn. Raises QueueFullError at once when `max_waiting` others wait."""
        turn = self._enter()
        if turn is not None:
            turn.acquire()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> threading.Lock | None:
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            if len(self._waiting) >= self._max_waiting:
                raise QueueFullError("The queue of requests waiting for inference is full")
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
            return turn

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()  # the slot is handed over, so nobody can take it in between
            else:
                self._free += 1
