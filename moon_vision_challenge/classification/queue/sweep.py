"""Finds lost workers and lost messages, and restarts their work."""

import logging

from django.conf import settings
from django.db import connection, transaction

from moon_vision_challenge.classification import events
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import claims
from moon_vision_challenge.classification.queue.routing import queue_of
from moon_vision_challenge.classification.queue.waiting_kinds import WITH_KIND

logger = logging.getLogger(__name__)

_WORKER_LOST = {"code": "worker_lost", "detail": "The worker was lost in every attempt."}

_WAITING_KINDS = f"{WITH_KIND} SELECT queue, model_type FROM kind"  # noqa: S608 - a constant


def free_lost_inferences() -> None:
    """Free the rows whose worker was lost, and fail those that used up their attempts this way."""
    with transaction.atomic():
        freed, failed = claims.free_expired(max_attempts=settings.INFERENCE_MAX_ATTEMPTS, error=_WORKER_LOST)
        events.announce_final(failed)
    if freed or failed:
        logger.warning("lost workers: %d inferences are waiting again, %d have failed", len(freed), len(failed))


def move_to_their_queues() -> None:
    """Move waiting rows whose class has changed its queue, or is no longer registered, to the right queue."""
    for queue, model_type in _waiting_kinds():
        if (right := queue_of(model_type)) != queue:
            waiting = Inference.objects.filter(status=Inference.STATUS.PENDING, queue=queue, model_type=model_type)
            moved = waiting.update(queue=right)
            logger.warning("%d inferences of %s moved from queue %s to %s", moved, model_type, queue, right)


def find_waiting() -> dict[str, int]:
    """Return, for each queue, the id of a row that could be claimed there now."""
    queues = dict.fromkeys(queue for queue, _ in _waiting_kinds())
    found = {queue: claims.find_waiting(queue=queue) for queue in queues}
    return {queue: inference_id for queue, inference_id in found.items() if inference_id is not None}


def _waiting_kinds() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_KINDS)
        return list(cursor.fetchall())
