"""Cancels and deletes the rows of a job, a bounded number per statement."""

import time

from django.db import connection, transaction

from moon_vision_challenge.classification import events
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import retention
from moon_vision_challenge.jobs import endings, leases, uploads
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.webhooks import outbox

CHUNK_ROWS = 1000
TURN_S = 20.0
_RETRY_S = 1.0

_CANCEL = """
UPDATE classification_inference SET status = 'canceled', finished_at = statement_timestamp() WHERE id = ANY (ARRAY(
    SELECT id FROM classification_inference
    WHERE job_id = %(job)s AND status = 'pending' ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING *
"""
# Rows that a worker holds stay until the worker has finished them.
_DELETE = """
DELETE FROM classification_inference WHERE id = ANY (ARRAY(
    SELECT id FROM classification_inference
    WHERE job_id = %(job)s AND status <> 'processing' ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING id, image
"""


def cancel_rows(job: Job) -> bool:
    """Cancel pending rows for up to TURN_S. Return whether there is more to do now. Raises LostLeaseError."""
    end = time.monotonic() + TURN_S
    while time.monotonic() < end:
        with transaction.atomic():
            current = leases.lock(job)
            rows = list(Inference.objects.raw(_CANCEL, {"job": job.pk, "limit": CHUNK_ROWS}))
            events.announce_final(rows)
            current.save(update_fields=["lease_expires_at"])
        if len(rows) < CHUNK_ROWS:
            _drop_upload(job)
            leases.release(job, retry_in_s=_RETRY_S)  # rows that a worker has may become pending again
            endings.finish_those_over([job.pk])
            return False
    return True


def delete_rows(job: Job) -> bool:
    """Delete rows with their files, and finally the job. Limits, result, and errors are those of `cancel_rows`."""
    end = time.monotonic() + TURN_S
    while time.monotonic() < end:
        with transaction.atomic():
            current = leases.lock(job)
            deleted = _delete_chunk(job)
            current.save(update_fields=["lease_expires_at"])
        retention.delete_what_is_left_of(deleted)  # after the commit: retention finds what remains
        if len(deleted) < CHUNK_ROWS:
            return _delete_job(job)
    return True


def _delete_chunk(job: Job) -> list[tuple[int, str]]:
    """Delete rows. Return their ids, and the names of their files."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, {"job": job.pk, "limit": CHUNK_ROWS})
        return list(cursor.fetchall())


def _delete_job(job: Job) -> bool:
    if Inference.objects.filter(job_id=job.pk).exists():  # a worker has them
        leases.release(job, retry_in_s=_RETRY_S)
        return False
    uploads.delete(job)
    with transaction.atomic():
        outbox.forget(job.pk, kind=endings.KIND)
        leases.lock(job).delete()
    return False


def _drop_upload(job: Job) -> None:
    try:
        uploads.delete(job)
    except StorageUnavailableError:
        return  # it is deleted with the job
    Job.objects.filter(pk=job.pk).update(upload="")
