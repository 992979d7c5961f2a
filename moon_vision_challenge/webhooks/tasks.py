"""The Celery tasks of webhooks."""

import logging

from celery import shared_task
from kombu.exceptions import OperationalError as QueueError

from moon_vision_challenge.webhooks import delivery, retention

logger = logging.getLogger(__name__)


def deliver_soon() -> None:
    """Wake a worker for the deliveries that are due. If Redis is unavailable, the next sweep does it."""
    try:
        deliver.delay()
    except QueueError as error:
        logger.warning("webhooks wait for the next sweep, because the queue is not available: %s", error)


@shared_task
def deliver() -> int:
    """Deliver what is due. Returns how many deliveries were attempted."""
    return delivery.deliver_due(wake=deliver_soon)


@shared_task(name="moon_vision_challenge.classification.tasks.deliver_webhooks")
def deliver_from_an_older_release() -> int:
    """Handle messages from the release before this app existed. Remove it one release later."""
    return int(deliver())


@shared_task
def sweep() -> None:
    """Beat: deliver what is due even if its message was lost."""
    if delivery.is_due():
        deliver_soon()


@shared_task
def delete_old() -> int:
    """Beat: delete final deliveries that are older than WEBHOOK_RETENTION_DAYS. Returns how many."""
    return retention.delete_old_deliveries()
