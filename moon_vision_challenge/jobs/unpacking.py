"""Turns uploads into queue rows, a hundred per transaction. A killed worker neither loses nor duplicates a row."""

import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice

from django.db import transaction
from django.db.models.functions import Now
from rest_framework.exceptions import APIException

from moon_vision_challenge.classification import events, images, services
from moon_vision_challenge.classification.exceptions import InvalidImageError, StorageUnavailableError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import bulk_share, turns
from moon_vision_challenge.classification.queue.routing import queue_of
from moon_vision_challenge.jobs import endings, leases, uploads
from moon_vision_challenge.jobs.archives.entries import Entry
from moon_vision_challenge.jobs.errors import EntryError
from moon_vision_challenge.jobs.models import Job

logger = logging.getLogger(__name__)

Wake = Callable[[Inference], object]
"""Wakes a worker for this row's queue."""

clock: Callable[[], float] = time.monotonic
CHUNK_ROWS = 100
TURN_S = 20.0
_RETRY_S = 10.0
_LOST = {"code": "upload_lost", "detail": "The upload of this job is lost. Send it again."}
_UNREADABLE = {"code": "unreadable_archive", "detail": "The archive cannot be read any more. Send it again."}
STATUS = Inference.STATUS


def unpack(job: Job, wake: Wake) -> bool:
    """Create rows for the next images, for up to TURN_S. Return whether there is more to do now.

    Raises LostLeaseError.
    """
    try:
        with uploads.opened(job) as source:
            entries = islice(uploads.entries(job, source), job.unpacked, None)
            is_over = _store(job, entries, wake, source.free)
    except FileNotFoundError:
        _fail(job, _LOST)
    except APIException as error:
        logger.error("job %d: %s", job.pk, error)
        _fail(job, _UNREADABLE)
    except StorageUnavailableError as error:
        logger.warning("job %d continues later: %s", job.pk, error)
        leases.release(job, retry_in_s=_RETRY_S)
        return False
    else:
        if not is_over:
            return True
        _finish(job)
    return False


def _store(job: Job, entries: Iterator[Entry], wake: Wake, free: Callable[[int, int], None]) -> bool:
    """Store entries as rows for up to TURN_S. Return whether all entries are rows."""
    end = clock() + TURN_S
    position, is_over = job.unpacked, False
    while not is_over and clock() < end:
        rows: list[Inference] = []
        stored: list[tuple[int, int]] = []
        try:
            for entry in islice(entries, CHUNK_ROWS):
                bulk_share.current().enter()  # if another process had the last place, it may be free now
                rows.append(_row(job, entry, position + len(rows)))
                if entry.stored:
                    stored.append(entry.stored)
                if clock() >= end:  # S3 may be slow, and the lease must not expire
                    break
            else:
                is_over = len(rows) < CHUNK_ROWS
            if rows:
                _insert(job, rows)
        except BaseException:
            _delete_files(rows)
            raise
        for begin, size in stored:
            free(begin, size)
        if pending := next((row for row in rows if row.status == STATUS.PENDING), None):
            wake(pending)
        position += len(rows)
    return is_over


def _row(job: Job, entry: Entry, position: int) -> Inference:
    row = Inference(
        owner_id=job.owner_id,
        model_type=job.model_type,
        queue=queue_of(job.model_type),
        version=job.version,
        version_label=job.version_label,
        job_id=job.pk,
        position=position,
        name=entry.name,
    )
    try:
        file = services.file_of(images.open_image(entry.read()))
    except (EntryError, InvalidImageError) as error:
        row.status, row.error = STATUS.FAIL, {"code": error.code, "detail": error.detail}
        row.finished_at = Now()  # PostgreSQL's clock
        return row
    row.image.save(*file, save=False)
    return row


def _insert(job: Job, rows: list[Inference]) -> None:
    with transaction.atomic():
        current = leases.lock(job)
        turn = turns.read_next_turn(
            turns.Lane.BULK, queue=rows[0].queue, model_type=job.model_type, owner_id=job.owner_id
        )
        for number, row in enumerate(rows):
            row.turn = turn + number
        Inference.objects.bulk_create(rows)
        for row in rows:
            if row.status == STATUS.FAIL:
                row.finished_at = row.created_at  # what the INSERT has computed: both are the time of the statement
        current.unpacked += len(rows)
        current.started_at = current.started_at or Now()  # PostgreSQL's clock
        current.save(update_fields=["unpacked", "started_at", "lease_expires_at"])
        events.announce_final(rows)
    job.unpacked = current.unpacked


def _finish(job: Job) -> None:
    with transaction.atomic():
        current = leases.lock(job)
        current.status, current.upload = Job.STATUS.PROCESSING, ""
        current.save(update_fields=["status", "upload"])
    uploads.delete(job)
    leases.release(job)
    endings.finish_those_over([job.pk])


def _fail(job: Job, error: dict[str, str]) -> None:
    """Fail the job. The rows that exist are still processed."""
    with transaction.atomic():
        current = leases.lock(job)
        endings.end(current, Job.STATUS.FAIL, error)
    leases.release(job)


def _delete_files(rows: list[Inference]) -> None:
    for row in rows:
        if row.image:
            row.image.delete(save=False)
