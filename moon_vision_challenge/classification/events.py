"""Announces final inferences: to consumers by webhook, and to other apps by signal."""

from collections.abc import Iterable
from functools import partial

from django.db import transaction
from django.dispatch import Signal

from moon_vision_challenge.classification import journal
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.observability import metrics
from moon_vision_challenge.webhooks import outbox

rows_of_jobs_ended = Signal()
"""Sent with `job_ids` after the commit that makes rows of these jobs final."""


def announce_final(inferences: Iterable[Inference]) -> None:
    """Count, log, and announce the final rows. Call it in the transaction that makes them final."""
    final = [each for each in inferences if each.is_final]
    outbox.announce([_event(each) for each in final if each.webhook_url])
    for each in final:
        metrics.inferences.labels(each.model_type, each.status).inc()
        transaction.on_commit(partial(journal.ended, each))
    if job_ids := {each.job_id for each in final if each.job_id is not None}:
        transaction.on_commit(lambda: rows_of_jobs_ended.send(Inference, job_ids=job_ids))


def _event(inference: Inference) -> outbox.Event:
    data = {
        "id": inference.pk,
        "model_type": inference.model_type,
        "label": inference.label,
        "status": str(inference.status),
        "error": inference.error,
    }
    return outbox.Event(
        url=inference.webhook_url,
        type=f"inference.{inference.status}",
        subject_id=inference.pk,
        data=data,
        owner_id=inference.owner_id,
        request_id=inference.request_id,
        traceparent=inference.traceparent,
    )
