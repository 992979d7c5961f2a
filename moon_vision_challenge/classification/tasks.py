"""Both ends of the queue: the only module of this app that knows Celery.

A message carries the id of the row that it is sent for, but all it does is wake a worker, which then claims the
rows whose turn it is. A lost, duplicate, or early message affects only latency.
"""

import logging
from typing import Any

from celery import Task, current_app, shared_task
from celery.app.utils import Settings
from celery.signals import celeryd_after_setup, celeryd_init, task_prerun
from django.core.cache import cache
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from kombu import Queue
from kombu.exceptions import OperationalError as QueueError
from redis.exceptions import RedisError

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.media_store import stored_bytes
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import broker, bulk_share, retention, sweep, worker

logger = logging.getLogger(__name__)


@celeryd_init.connect
def serve_the_queues_of_classificators(*, conf: Settings, **_: object) -> None:
    """Make a worker without --queues also serve the queues that classes name."""
    known = {queue.name for queue in conf.task_queues}
    named = {dispatcher[model_type].queue for model_type in dispatcher}
    conf.task_queues = [*conf.task_queues, *(Queue(name) for name in sorted(named - known))]


@celeryd_after_setup.connect
def share_bulk_work(*, instance: Any, **_: object) -> None:
    """Prepare the worker before Celery forks its processes."""
    bulk_share.share_among(instance.concurrency)


@task_prerun.connect
def close_unusable_connections(**_: object) -> None:
    close_old_connections()


class InferenceFailedError(Exception):
    """Makes a failed inference appear as a failure in Celery and Flower. The row holds the reason."""


_QUEUE_ERRORS = (QueueError, RedisError)
_NEXT_TURN = "retention.next_turn"


def _probe_queue() -> None:
    if not broker.takes_messages():
        raise QueueError


_queue_breaker = CircuitBreaker(open_s=5, probe=_probe_queue)
"""Saves requests and workers the timeout while Redis is known not to answer. The sweep sends the message later."""


def enqueue_inference(inference: Inference) -> None:
    """Wake a worker as soon as this row is committed. If Redis is or was just unavailable, the sweep does it."""
    transaction.on_commit(lambda: _wake(inference.queue, inference.pk))


def wake_for_what_waits() -> None:
    """Wake a worker of each queue that has rows to claim."""
    for queue, inference_id in sweep.find_waiting().items():
        _wake(queue, inference_id)


def _wake(queue: str, inference_id: int, countdown_s: float = 0) -> None:
    """Send a message, unless the queue already holds one: the worker that receives it also finds this row.

    In a backlog, this saves a message per row: 0.9 ms to send it, and 2.8 ms for a worker to find nothing to do.
    """
    try:
        with _queue_breaker.call(*_QUEUE_ERRORS):
            if countdown_s or not _has_message(queue):
                run_inference.apply_async((inference_id,), queue=queue, countdown=countdown_s)
    except CircuitOpenError:
        logger.debug("inference %d waits for the sweep: sending to the queue has just failed", inference_id)
    except _QUEUE_ERRORS as error:
        logger.warning("inference %d waits for the sweep: the queue is not available: %s", inference_id, error)


def _has_message(queue: str) -> bool:
    with current_app.pool.acquire(block=True) as connection:
        channel = connection.default_channel  # type: ignore[attr-defined]  # the stubs declare another pool
        return bool(channel.client.llen(queue))


@shared_task(
    bind=True,
    autoretry_for=(OperationalError, InterfaceError),  # PostgreSQL is restarting
    retry_backoff=True,
    retry_backoff_max=60,  # seconds
    max_retries=None,
)
def run_inference(self: "Task[[int], str]", inference_id: int) -> str:  # noqa: ARG001  # Flower shows it
    """Process the rows that wait in the queue of this message."""
    queue = str((self.request.delivery_info or {})["routing_key"])
    outcomes = worker.drain(queue=queue, wake=_wake)
    if failed := [outcome for outcome in outcomes if outcome.status == Inference.STATUS.FAIL]:
        raise InferenceFailedError(", ".join(f"{one.inference.pk}: {one.error}" for one in failed))
    return ", ".join(f"{outcome.inference.pk}: {outcome.status.value}" for outcome in outcomes)


@shared_task
def sweep_inferences() -> None:
    """Find lost workers and lost messages, and restart their work. Beat sends this task."""
    sweep.free_lost_inferences()
    sweep.move_to_their_queues()
    wake_for_what_waits()
    stored_bytes.measure_if_unknown()


@shared_task
def delete_old() -> None:
    """Delete expired rows and files for one turn. While more is left, another follows at once. Beat sends this task."""
    cache.delete(_NEXT_TURN)
    is_done = retention.delete_for_a_turn()
    stored_bytes.measure()
    if not is_done:
        _delete_more()


def _delete_more() -> None:
    """Send a message for another turn, unless one is already waiting for a worker."""
    try:
        if cache.add(_NEXT_TURN, 1, timeout=60):
            delete_old.delay()
    except _QUEUE_ERRORS as error:
        logger.warning("Redis is not available, so retention continues at its next scheduled time: %s", error)
