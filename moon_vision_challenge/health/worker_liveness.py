"""Whether a worker still runs, for liveness probes: a restart must be able to mend what they report.

A worker without Redis is alive. It processes the queue from the database, and reconnects by itself.
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


class WorkerLiveness:
    """Touches a file, unless the worker sends no heartbeats although Redis takes messages.

    Args:
        takes_messages: whether Redis does. It is asked only while no heartbeat comes.
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

    def note_heartbeat(self) -> None:
        self._excused_at = self._clock()

    def check(self) -> None:
        silent_s = self._clock() - self._excused_at
        if silent_s > _QUIET_S and not self._takes_messages():
            self._excused_at = self._clock()
        elif silent_s > _SILENT_S:
            logger.error("this worker has sent no heartbeat for %.0f s, although Redis takes messages", silent_s)
            return
        self._file.touch()

    def start(self) -> None:
        """In a thread of the worker's main process: where that hangs as a whole, the file gets old, too."""
        self.check()
        threading.Thread(target=self._run, name="liveness", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(CHECK_EVERY_S)
            self.check()
