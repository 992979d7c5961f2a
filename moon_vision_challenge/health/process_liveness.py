"""Checks whether a worker or beat still runs, for liveness probes. It reports only what a restart can repair.

Without Redis, both are alive. A worker then processes the queue from the database. Both reconnect by themselves, and
sooner than a cluster restarts a container that it has restarted before.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from moon_vision_challenge.classification.queue import broker

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 10.0
_QUIET_S = 30.0
_SILENT_S = 180.0
"""After an outage of Redis, Celery may wait 30 s before it connects again."""


class ProcessLiveness:
    """Touches a file, unless the process sends nothing although Redis accepts messages.

    Args:
        takes_messages: returns whether Redis accepts messages. It is called only while the process sends nothing.
        clock: returns seconds.
    """

    def __init__(
        self,
        file: Path,
        *,
        takes_messages: Callable[[], bool] = broker.takes_messages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._takes_messages = takes_messages
        self._clock = clock
        self._excused_at = clock()

    def note_sent(self) -> None:
        self._excused_at = self._clock()

    def check(self) -> None:
        silent_s = self._clock() - self._excused_at
        if silent_s > _QUIET_S and not self._takes_messages():
            self._excused_at = self._clock()
        elif silent_s > _SILENT_S:
            logger.error("nothing has been sent for %.0f s, although Redis accepts messages", silent_s)
            return
        self._file.touch()

    def start(self) -> None:
        """Check in a thread of this process. If the whole process hangs, the file gets old, too."""
        self.check()
        threading.Thread(target=self._run, name="liveness", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(CHECK_EVERY_S)
            self.check()
