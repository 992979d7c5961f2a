"""Both ends of the queue: the only module that knows Celery.

A message carries the id of the row that it is sent for, but all it does is wake a worker, which then claims whatever
has waited longest. A lost, doubled or early message changes nothing but latency.
"""

import logging
import time
from collections.abc import Sequence

from celery import Task, current_app, shared_task
from celery.app.utils import Settings
from celery.signals import celeryd_init, task_prerun
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from kombu import Queue
from kombu.exceptions import OperationalError as QueueError
from redis.exceptions import RedisError

from moon_vision_challenge.circuit_breaker import CircuitBreaker
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import retention, worker
from moon_vision_challenge.classification.queue.claims import Outcome

logger = logging.getLogger(__name__)


@celeryd_init.connect
def serve_the_queues_of_classificators(*, conf: Settings, **_: object) -> None:
    """A worker without --queues serves the queues that classes name, too; none is waited for in vain."""
    known = {queue.name for queue in conf.task_queues}
    named = {dispatcher[model_type].queue for model_type in dispatcher}
    conf.task_queues = [*conf.task_queues, *(Queue(name) for name in sorted(named - known))]


@task_prerun.connect
def close_unusable_connections(**_: object) -> None:
    close_old_connections()


class InferenceFailedError(Exception):
    """Shows a failed inference as a failure in Celery and Flower. Its reason is on its row."""


# In a backlog a task goes on with the next batch for so long, for a message costs 2 ms of CPU, and claims twice as many
# rows each time, up to this many times INFERENCE_BATCH_SIZE. A short backlog is shared among the workers, and the rows
# of a slow model are: its first batch takes the whole turn.
_TURN_S = 1
_LARGEST_CLAIM = 4

_queue_breaker = CircuitBreaker(open_s=5)
"""Requests do not wait for Redis' timeout one after the other: the sweep wakes a worker for their rows."""


def enqueue_inference(inference: Inference) -> None:
    """Wake a worker as soon as this row is committed; the sweep does it if Redis is away, or was a moment ago."""
    transaction.on_commit(lambda: _wake_if_possible(inference.pk, worker.queue_of(inference.model_type)))


def _wake_if_possible(inference_id: int, queue: str) -> None:
    if not _queue_breaker.is_open and not _wake(inference_id, queue):
        _queue_breaker.trip()


def _wake(inference_id: int, queue: str, *, countdown: float = 0) -> bool:
    """Send a message, unless one lies in the queue already: whoever takes that one will find this row too.

    In a backlog this saves a message for every row: 0.9 ms to send, and 2.8 ms for a worker to find nothing to do.

    Returns:
        Whether a message lies in the queue now; False if Redis is not available.
    """
    try:
        with current_app.pool.acquire(block=True) as connection:
            channel = connection.default_channel  # type: ignore[attr-defined]  # the stubs take this pool for another one
            if countdown == 0 and channel.client.llen(queue):
                return True
        run_inference.apply_async((inference_id,), queue=queue, countdown=countdown)
    except (QueueError, RedisError) as error:
        logger.warning("inference %d waits for the sweep, the queue is not available: %s", inference_id, error)
        return False
    return True


@shared_task(
    bind=True,
    autoretry_for=(OperationalError, InterfaceError),  # PostgreSQL restarts
    retry_backoff=True,
    retry_backoff_max=60,  # seconds
    max_retries=None,
)
def run_inference(self: "Task[[int], str]", inference_id: int) -> str:  # noqa: ARG001  # for who looks at Flower
    queue = str((self.request.delivery_info or {})["routing_key"])
    done: list[str] = []
    end = time.monotonic() + _TURN_S
    limit = settings.INFERENCE_BATCH_SIZE
    while batch := worker.claim_batch(queue=queue, limit=limit):
        is_full = len(batch) == limit
        # What else waits, the rest of a backlog or rows of another model, shall not wait until this batch is done.
        if is_full or worker.is_waiting(queue=queue):
            _wake(batch[-1].pk, queue)
        outcomes = worker.run_batch(batch)
        done += [f"{outcome.inference.pk}: {outcome.status.value}" for outcome in outcomes]
        _tell_what_failed(outcomes, queue)
        if not is_full or time.monotonic() >= end:
            break
        limit = min(2 * limit, _LARGEST_CLAIM * settings.INFERENCE_BATCH_SIZE)
    return ", ".join(done)


def _tell_what_failed(outcomes: Sequence[Outcome], queue: str) -> None:
    """Wake a worker for what is to be tried again; raise InferenceFailedError for what is not."""
    if put_back := [outcome for outcome in outcomes if outcome.status == Inference.STATUS.PENDING]:
        last = max(put_back, key=lambda outcome: outcome.retry_in_s)
        _wake(last.inference.pk, queue, countdown=last.retry_in_s)
    if failed := [outcome for outcome in outcomes if outcome.status == Inference.STATUS.FAIL]:
        raise InferenceFailedError(", ".join(f"{one.inference.pk}: {one.error}" for one in failed))


@shared_task
def sweep_inferences() -> None:
    """Beat: whatever was lost, a worker or a message, is found and set going again."""
    worker.free_lost_inferences()
    for queue, inference_id in worker.find_waiting().items():
        _wake(inference_id, queue)


@shared_task
def delete_old() -> None:
    """Beat: rows and files past their time, so many a run."""
    retention.delete_old_inferences()
    retention.delete_orphaned_files()
