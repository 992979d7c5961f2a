"""Classifies what waits in the queue, by the database alone."""

import logging
import os
import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections

from moon_vision_challenge.classification.queue import broker, sweep, worker

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
CHECK_EVERY_S = 5.0


class Command(BaseCommand):
    help = "Works off the queues by the database alone, until Redis takes messages. A worker starts it by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="+", help="the queues to work off")
        parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this parent process has ended")

    def handle(self, *, queues: list[str], parent: int, **_: Any) -> None:
        self._is_stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        next_check = 0.0  # time.monotonic(); a Redis that hangs takes a second to ask
        while not self._is_stopped and os.getppid() == parent:
            if time.monotonic() >= next_check:
                if broker.takes_messages():
                    return
                next_check = time.monotonic() + CHECK_EVERY_S
            if not _work_off_if_possible(queues):
                time.sleep(PAUSE_S)  # until something may wait again

    def _stop(self, *_: object) -> None:
        """What is claimed is finished first."""
        self._is_stopped = True


def _work_off_if_possible(queues: list[str]) -> bool:
    try:
        return _work_off(queues)
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database is not available: %s", error)
        return False
    finally:
        close_old_connections()


def _work_off(queues: list[str]) -> bool:
    """One turn in each queue where something waits. Returns whether there was something."""
    sweep.free_lost_inferences()
    sweep.move_to_their_queues()
    waiting = [queue for queue in sweep.find_waiting() if queue in queues]
    for queue in waiting:
        # Celery's own bound on a task: the kernel ends this process, the lease expires, and the row is found.
        signal.setitimer(signal.ITIMER_REAL, settings.CELERY_TASK_TIME_LIMIT)
        worker.work_off(queue=queue, wake=_wake_nobody)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return bool(waiting)


def _wake_nobody(_queue: str, _inference_id: int, _countdown_s: float) -> None:
    """No message can be sent; the next turn finds what waits."""
