"""Keeps a worker going while messages cannot reach it. The row is the source of truth, so the database is enough.

A thread of the worker's main process watches Redis. While Redis accepts no messages, it runs a child process that polls
the database. This is a child process, because an image that takes too much memory or time must not end the worker, and
because the thread must not share a connection with the processes that Celery forks.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from django.conf import settings

from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.classification.queue.database_only import DatabaseOnlyWorker
from moon_vision_challenge.classification.queue.reserve import Reserve

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 2.0


class Standby:
    """Starts the reserve while the broker is unavailable. If the reserve has ended, it runs the command instead.

    Args:
        queues: the queues that this worker serves.
    """

    def __init__(
        self,
        queues: Sequence[str],
        reserve: Reserve,
        *,
        check_every_s: float = CHECK_EVERY_S,
        takes_messages: Callable[[], bool] = broker.takes_messages,
    ) -> None:
        command = ("drain_queues", f"--parent={os.getpid()}", *queues)
        self._command = [sys.executable, str(settings.ROOT_DIR / "manage.py"), *command]
        self._reserve = reserve
        self._check_every_s = check_every_s
        self._takes_messages = takes_messages
        self._stopped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def of_this_process(cls, queues: Sequence[str]) -> "Standby":
        """Create the standby of this process. This forks, so call it before threads start."""
        parent = os.getpid()
        return cls(queues, Reserve(lambda: DatabaseOnlyWorker(queues, parent=parent)))

    def start(self) -> None:
        threading.Thread(target=self._watch, name="standby", daemon=True).start()

    def stop(self) -> None:
        """Make the child finish the rows that it has claimed, and end."""
        self._stopped.set()
        self._reserve.stop()
        if self._child:
            self._child.terminate()

    def join(self) -> None:
        """Wait until the child has ended. This takes no longer than a task may take."""
        self._reserve.join()
        if self._child:
            self._child.wait()

    def _watch(self) -> None:
        while not self._stopped.wait(self._check_every_s):
            if self._is_working() or self._takes_messages():
                continue
            logger.warning("Redis accepts no messages: the worker processes the queue from the database alone")
            if not self._reserve.go():
                self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def _is_working(self) -> bool:
        """Return whether the child is working. It stops by itself when Redis is back."""
        return self._reserve.is_working() or (self._child is not None and self._child.poll() is None)
