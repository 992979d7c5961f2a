"""The worker's side: claims rows in batches, classifies them, and ends them. Knows neither HTTP nor Celery."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.conf import settings

from moon_vision_challenge.classification import journal
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, claims
from moon_vision_challenge.classification.queue.claims import AttemptOutcome

logger = logging.getLogger(__name__)


class _LastSingle:
    """When this process has last claimed a single row soon after another one."""

    seen_at = -math.inf
    _claimed_at = -math.inf

    def note(self) -> None:
        now = time.monotonic()
        if now - self._claimed_at < _SINGLES_EXPECTED_S:
            self.seen_at = now
        self._claimed_at = now

    def is_recent(self) -> bool:
        return time.monotonic() - self.seen_at < _SINGLES_EXPECTED_S


_last_single = _LastSingle()

Wake = Callable[[str, int, float], object]
"""Wakes a worker: takes a queue, the id of a row that waits there, and the delay in seconds."""

# A message costs 2 ms of CPU, so in a backlog a task continues with the next batch for this long. It claims twice as
# many rows each time, up to this many times INFERENCE_BATCH_SIZE. The workers share a short backlog, and the rows of a
# slow model, whose first batch takes the whole turn.
TURN_S = 1
_LARGEST_CLAIM = 4

# A single row waits until a worker has finished its batch. So jobs get no larger batches, and small ones while single
# rows come: one that comes alone waits for 8 images at most, and small batches cost a third of the throughput.
_SMALL_BATCH = 2
_SINGLES_EXPECTED_S = 2.0


def drain(*, queue: str, wake: Wake) -> list[AttemptOutcome]:
    """Process batches of this queue until nothing waits, something fails, or the turn ends. Returns what it wrote."""
    outcomes: list[AttemptOutcome] = []
    end = time.monotonic() + TURN_S
    limit = settings.INFERENCE_BATCH_SIZE
    while claimed := claim_batch(queue=queue, limit=limit):
        is_single = claimed[0].job_id is None
        if is_single:
            _last_single.note()
        # Another worker starts on the rest (the backlog, or another model's rows) before this batch is done.
        has_more = len(claimed) == limit or claims.find_waiting(queue=queue) is not None
        if has_more:
            wake(queue, claimed[-1].pk, 0)
        written = batch.run(claimed)
        outcomes += written
        wake_for_retries(written, queue, wake)
        # The task that fails names the row in Flower, so it ends here.
        has_failed = any(outcome.status == Inference.STATUS.FAIL for outcome in written)
        if not has_more or has_failed or time.monotonic() >= end:
            break
        if is_single:
            limit = min(2 * limit, _LARGEST_CLAIM * settings.INFERENCE_BATCH_SIZE)
    return outcomes


def claim_batch(*, queue: str, limit: int | None = None) -> list[Inference]:
    """Claim waiting rows of this queue: one if one waits, up to `limit` of one model type if more do.

    Args:
        limit: INFERENCE_BATCH_SIZE by default, and for rows of jobs at most.
    """
    lease = timedelta(seconds=settings.INFERENCE_LEASE_S)
    size = settings.INFERENCE_BATCH_SIZE
    bulk_limit = min(size, _SMALL_BATCH) if _last_single.is_recent() else size
    claimed = claims.claim_waiting(queue=queue, limit=limit or size, lease=lease, bulk_limit=bulk_limit)
    if claimed:
        journal.claimed(claimed)
    return claimed


def wake_for_retries(outcomes: Sequence[AttemptOutcome], queue: str, wake: Wake) -> None:
    put_back = [outcome for outcome in outcomes if outcome.status == Inference.STATUS.PENDING]
    if put_back:
        last = max(put_back, key=lambda outcome: outcome.retry_in_s)
        wake(queue, last.inference.pk, last.retry_in_s)
