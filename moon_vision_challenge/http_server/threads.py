"""The threads in which the application runs."""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Job = Callable[[], None]


class Threads:
    """Daemon threads, unlike those of concurrent.futures, so that a process may end without them."""

    def __init__(self, count: int, name: str) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:  # a thread that ended would not be replaced
                logger.exception("a job failed")
            del job  # or it would hold the last request until the next one
