"""The Celery tasks of jobs. A lost message delays a job until the next sweep."""

import logging

from celery import shared_task
from django.db import transaction
from kombu.exceptions import OperationalError as QueueError
from redis.exceptions import RedisError

from moon_vision_challenge.classification.queue import bulk_share
from moon_vision_challenge.classification.tasks import enqueue_inference, wake_for_what_waits
from moon_vision_challenge.jobs import services

logger = logging.getLogger(__name__)


def advance_soon(job_id: int) -> None:
    """Make a worker continue with the job, after the commit. If Redis is unavailable, the next sweep does it."""
    transaction.on_commit(lambda: _send(job_id))


@shared_task
def advance(job_id: int) -> None:
    """Unpack, cancel, or delete for a while. Another message does the rest, so that other tasks get their turn."""
    with bulk_share.bulk_work():
        has_more = services.advance(job_id, enqueue_inference)
    wake_for_what_waits()  # a process that was woken meanwhile may have claimed nothing
    if has_more:
        _send(job_id)


@shared_task
def sweep() -> None:
    """Beat: continue with jobs whose worker or message was lost."""
    for job_id in services.find_work():
        _send(job_id)


@shared_task
def delete_old() -> None:
    """Beat: delete jobs some days after their end, and lost uploads."""
    services.delete_old()


def _send(job_id: int) -> None:
    try:
        advance.delay(job_id)
    except (QueueError, RedisError) as error:
        logger.warning("job %d waits for the next sweep, because the queue is not available: %s", job_id, error)
