"""Measures how long the queue is, and estimates when it will have room again."""

import math
import threading
import time

from django.conf import settings
from django.db import connection

from moon_vision_challenge.classification.exceptions import QueueFullError
from moon_vision_challenge.classification.queue.routing import inference_queues
from moon_vision_challenge.classification.queue.turns import Lane

_RATE_WINDOW_S = 60
_FRESH_S = 1.0

# Counting stops above the limit, so a long backlog costs no more than a short one. Rows of jobs do not count: they wait
# behind the counted rows, and JOB_MAX_PENDING limits them.
_COUNT_WAITING = """
SELECT count(*) FROM (
    SELECT FROM classification_inference WHERE status = 'pending' AND queue = ANY(%s) AND turn < %s LIMIT %s
) AS waiting
"""
_COUNT_FINISHED = """
SELECT count(*) FROM classification_inference
WHERE finished_at > statement_timestamp() - make_interval(secs => %s)
"""


class WaitingCount:
    """The number of waiting rows, counted at most once a second for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted_at = -math.inf
        self._count = 0

    def up_to(self, limit: int) -> int:
        with self._lock:
            if time.monotonic() - self._counted_at > _FRESH_S:
                self._count = _query(_COUNT_WAITING, sorted(inference_queues()), Lane.BULK.value, limit)
                self._counted_at = time.monotonic()
            return self._count


_waiting_count = WaitingCount()


def check_capacity() -> None:
    """Raise QueueFullError if INFERENCE_MAX_PENDING rows wait.

    The count is up to a second old, and each process has its own. The limit protects the disk and the waiting time. It
    does not need to be exact.
    """
    limit = settings.INFERENCE_MAX_PENDING
    if _waiting_count.up_to(limit + 1) >= limit:
        raise QueueFullError(_retry_after_s(limit))


def _retry_after_s(limit: int) -> int:
    """Return the seconds until a tenth of the queue is free at the rate of the last minute, from 1 s to 1 h."""
    finished_a_second = _query(_COUNT_FINISHED, _RATE_WINDOW_S) / _RATE_WINDOW_S
    if not finished_a_second:
        return _RATE_WINDOW_S  # no row has finished, so any number is a guess
    return max(1, min(3600, math.ceil(limit / 10 / finished_a_second)))


def _query(sql: str, *parameters: int | str | list[str]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        (count,) = cursor.fetchone()
        return int(count)
