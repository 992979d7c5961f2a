"""The threads in which the application runs."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Job = Callable[[], None]

_FIRST_INTERVAL_S = 0.02
"""What is expected until jobs have waited."""
_SMOOTHING = 1 / 16


class Threads:
    """Daemon threads, unlike those of concurrent.futures, so that a process may end without them."""

    def __init__(self, count: int, name: str) -> None:
        self._jobs: SimpleQueue[tuple[float, Job]] = SimpleQueue()
        self._count = count
        self._interval_s = _FIRST_INTERVAL_S  # between two jobs that start while others wait, on average
        self._started_at = 0.0
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, job: Job) -> None:
        self._jobs.put((time.monotonic(), job))

    @property
    def expected_wait_s(self) -> float:
        """How long the next job will wait. 0 if fewer wait than there are threads."""
        waiting = self._jobs.qsize()
        return waiting * self._interval_s if waiting >= self._count else 0.0

    def _work(self) -> None:
        while True:
            submitted_at, job = self._jobs.get()
            self._note_start(submitted_at, time.monotonic())
            try:
                job()
            except Exception:  # a thread that ended would not be replaced
                logger.exception("a job failed")
            del job  # or it would hold the last request until the next one

    def _note_start(self, submitted_at: float, now: float) -> None:
        if submitted_at < self._started_at:  # it waited while another one started
            self._interval_s += (now - self._started_at - self._interval_s) * _SMOOTHING
        self._started_at = now
