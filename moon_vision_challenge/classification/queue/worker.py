"""The worker's side: claims rows in batches, classifies them, and finishes them. It knows neither HTTP nor Celery."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.conf import settings

from moon_vision_challenge.classification import journal
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, bulk_share, claims
from moon_vision_challenge.classification.queue.claims import AttemptOutcome

logger = logging.getLogger(__name__)


Wake = Callable[[str, int, float], object]
"""A function that wakes a worker, given a queue, the id of a row that waits there, and the delay in seconds."""

# A message costs 2 ms of CPU, so in a backlog a task continues with the next batch for this long. It claims twice as
# many rows each time, up to this many times INFERENCE_BATCH_SIZE. The workers share a short backlog. They also share
# the rows of a slow model, whose first batch takes the whole turn.
TURN_S = 1
_LARGEST_CLAIM = 4


def drain(*, queue: str, wake: Wake) -> list[AttemptOutcome]:
    """Process batches of this queue until no row waits, a row fails, or the turn ends. Returns what was written."""
    outcomes: list[AttemptOutcome] = []
    end = time.monotonic() + TURN_S
    limit = size = settings.INFERENCE_BATCH_SIZE
    share = bulk_share.current()
    last: Inference | None = None
    try:
        while claimed := claim_batch(queue=queue, limit=limit, bulk_limit=share.rows_to_claim(size)):
            last = claimed[-1]
            if is_single := last.job_id is None:
                share.note_single()
                share.leave()
            # Another worker starts on the rest (the backlog, or another model's rows) before this batch is done.
            has_more = len(claimed) == limit or claims.find_waiting(queue=queue) is not None
            if has_more:
                wake(queue, last.pk, 0)
            written = batch.run(claimed)
            outcomes += written
            wake_for_retries(written, queue, wake)
            # A failed task names its row in Flower, so the task ends here.
            has_failed = any(outcome.status == Inference.STATUS.FAIL for outcome in written)
            if not has_more or has_failed or time.monotonic() >= end:
                break
            if is_single:
                limit = min(2 * limit, _LARGEST_CLAIM * size)
    finally:
        had_place = share.leave()
    # A process that was woken while this one held a place may have claimed nothing.
    if had_place and last and claims.find_waiting(queue=queue) is not None:
        wake(queue, last.pk, 0)
    return outcomes


def claim_batch(*, queue: str, limit: int | None = None, bulk_limit: int | None = None) -> list[Inference]:
    """Claim waiting rows of this queue: one if only one waits, otherwise up to `limit` of one model type.

    Args:
        limit: INFERENCE_BATCH_SIZE by default.
        bulk_limit: the limit for rows of jobs, INFERENCE_BATCH_SIZE by default. With 0, no rows of jobs are claimed.
    """
    lease = timedelta(seconds=settings.INFERENCE_LEASE_S)
    size = settings.INFERENCE_BATCH_SIZE
    bulk_limit = size if bulk_limit is None else bulk_limit
    claimed = claims.claim_waiting(queue=queue, limit=limit or size, lease=lease, bulk_limit=bulk_limit)
    if claimed:
        journal.claimed(claimed)
    return claimed


def wake_for_retries(outcomes: Sequence[AttemptOutcome], queue: str, wake: Wake) -> None:
    put_back = [outcome for outcome in outcomes if outcome.status == Inference.STATUS.PENDING]
    if put_back:
        last = max(put_back, key=lambda outcome: outcome.retry_in_s)
        wake(queue, last.inference.pk, last.retry_in_s)
