"""The threads that run the application."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Job = Callable[[], None]

_FIRST_INTERVAL_S = 0.02
"""The assumed interval between two jobs, until jobs have waited."""
_SMOOTHING = 1 / 16


class Threads:
    """Daemon threads, unlike those of concurrent.futures, so that a process can end without waiting for them."""

    def __init__(
        self,
        count: int,
        name: str,
        *,
        spare: int = 0,
        waiting: Callable[[], int] = lambda: 0,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        """`waiting`: returns how many threads wait for something that may never come. See `replace_waiting`.

        `leave`: called in a thread that is no longer needed, before it ends.
        """
        self._jobs: SimpleQueue[tuple[float, Job]] = SimpleQueue()
        self._interval_s = _FIRST_INTERVAL_S  # the average between two jobs that start while others wait
        self._started_at = 0.0
        self._name = name
        self._usual, self._most = count, count + spare
        self._waiting = waiting
        self._leave = leave
        self._lock = threading.Lock()
        self.count = 0
        self._start(count)

    def submit(self, job: Job) -> None:
        self._jobs.put((time.monotonic(), job))

    @property
    def expected_wait_s(self) -> float:
        """The expected wait of the next job. 0 if fewer jobs wait than there are threads."""
        waiting = self._jobs.qsize()
        return waiting * self._interval_s if waiting >= self._usual else 0.0

    def replace_waiting(self) -> bool:
        """Start spare threads if jobs are left and every thread waits. Returns whether jobs are left."""
        if self._jobs.empty():
            return False
        with self._lock:
            if self._waiting() >= self.count:
                self._start(min(self._usual, self._most - self.count))
        return True

    def _start(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self.count}", daemon=True).start()

    def _work(self) -> None:
        while True:
            submitted_at, job = self._jobs.get()
            self._note_start(submitted_at, time.monotonic())
            try:
                job()
            except Exception:  # a thread that ended would not be replaced
                logger.exception("a job failed")
            del job  # otherwise, it would hold the last request until the next one
            if self.count > self._usual and self._is_surplus():
                break
        self._leave()

    def _is_surplus(self) -> bool:
        with self._lock:
            is_surplus = self.count - self._waiting() > self._usual
            self.count -= is_surplus
            return is_surplus

    def _note_start(self, submitted_at: float, now: float) -> None:
        if submitted_at < self._started_at:  # the job waited while another one started
            self._interval_s += (now - self._started_at - self._interval_s) * _SMOOTHING
        self._started_at = now
