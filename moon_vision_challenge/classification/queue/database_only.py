"""Processes queues from the database alone while Redis accepts no messages. The row is the source of truth."""

import logging
import os
import signal
import time
from collections.abc import Collection

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections

from moon_vision_challenge.classification.queue import broker, sweep, worker

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
CHECK_EVERY_S = 5.0


class DatabaseOnlyWorker:
    """Runs in the main thread of a process, and handles SIGTERM and SIGINT there.

    Args:
        queues: the queues to process.
        parent: the id of the parent process. When this process has another parent, it ends.
    """

    def __init__(self, queues: Collection[str], *, parent: int) -> None:
        self._queues = queues
        self._parent = parent
        self._is_stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    @property
    def must_end(self) -> bool:
        return self._is_stopped or os.getppid() != self._parent

    def run(self) -> None:
        """Process the queues until Redis accepts messages or this process must end. Claimed rows are finished first."""
        next_check = 0.0  # time.monotonic(). If Redis hangs, a check takes a second
        while not self.must_end:
            if time.monotonic() >= next_check:
                if broker.takes_messages():
                    logger.info("Redis accepts messages again")
                    return
                next_check = time.monotonic() + CHECK_EVERY_S
            if not _drain_if_possible(self._queues):
                time.sleep(PAUSE_S)  # until rows may wait again

    def _stop(self, *_: object) -> None:
        self._is_stopped = True


def _drain_if_possible(queues: Collection[str]) -> bool:
    try:
        return _drain(queues)
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database is not available: %s", error)
        return False
    finally:
        close_old_connections()


def _drain(queues: Collection[str]) -> bool:
    """Take one turn in each queue where rows wait. Return whether there were any."""
    sweep.free_lost_inferences()
    sweep.move_to_their_queues()
    waiting = [queue for queue in sweep.find_waiting() if queue in queues]
    for queue in waiting:
        # The same limit as for a Celery task: the kernel ends this process, the lease expires, and the row is found.
        signal.setitimer(signal.ITIMER_REAL, settings.CELERY_TASK_TIME_LIMIT)
        worker.drain(queue=queue, wake=_wake_nobody)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return bool(waiting)


def _wake_nobody(_queue: str, _inference_id: int, _countdown_s: float) -> None:
    """Do nothing: no message can be sent, and the next turn finds the waiting rows."""
