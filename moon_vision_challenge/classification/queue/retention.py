"""Deletes old inferences with their files, and files without an inference.

It works in batches, each in a short transaction. Concurrent runs share the work.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from moon_vision_challenge.classification import thumbnails
from moon_vision_challenge.classification.media_store import media_store
from moon_vision_challenge.classification.models import Inference

logger = logging.getLogger(__name__)

TURN_S = 20.0
"""How long one run deletes. Another run deletes the rest, and other tasks get the worker in between."""
BATCH = 500
"""The number of rows or files that are deleted together."""

_ROOT = "inferences"
_CURSOR = "retention.day"
_DAY = timedelta(days=1)
clock: Callable[[], float] = time.monotonic

# MATERIALIZED: the rows are chosen once. SKIP LOCKED: rows that another run has chosen are skipped. A job is deleted as
# a whole, with its rows.
_DELETE_OLD = """
WITH old AS MATERIALIZED (
    SELECT id FROM classification_inference
    WHERE finished_at < statement_timestamp() - %(age)s AND job_id IS NULL
    ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM classification_inference WHERE id IN (SELECT id FROM old) RETURNING id, image
), deleted_keys AS (
    DELETE FROM classification_idempotencykey WHERE inference_id IN (SELECT id FROM old)
)
SELECT id, image FROM deleted
"""


def delete_for_a_turn() -> bool:
    """Delete old inferences, then the orphaned files of one day, for TURN_S. Returns whether nothing is left."""
    end = clock() + TURN_S
    count = 0
    while deleted := delete_old_inferences():
        count += deleted
        if clock() >= end:
            break
    if count:
        logger.info("deleted %d old inferences", count)
    if not deleted and not settings.MEDIA_S3_LIFECYCLE:
        delete_orphaned_files(end)
    return clock() < end


def delete_old_inferences(*, limit: int | None = None) -> int:
    """Delete at most `limit` rows, or one BATCH, that have been final for INFERENCE_RETENTION_DAYS, with their files.

    The row is deleted first. A row without its file would break a promise, but a file without its row is found later.
    With DJANGO_MEDIA_S3_LIFECYCLE, the bucket deletes the files.
    """
    parameters: dict[str, Any] = {"age": timedelta(days=settings.INFERENCE_RETENTION_DAYS), "limit": limit or BATCH}
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_OLD, parameters)
        deleted = cursor.fetchall()
    if settings.MEDIA_S3_LIFECYCLE:
        deleted = [(inference_id, "") for inference_id, _ in deleted]
    delete_what_is_left_of(deleted)
    return len(deleted)


def delete_what_is_left_of(deleted: Sequence[tuple[int, str]]) -> None:
    """Delete the previews and files of deleted rows, given their ids and the names of their files."""
    thumbnails.forget([inference_id for inference_id, _ in deleted])
    media_store.delete_many([name for _, name in deleted if name])


def delete_orphaned_files(end: float | None = None) -> int:
    """Delete the files of one day's folder that no row references. The next run takes the next folder.

    The files of today and yesterday stay: their rows may not be committed yet.

    Args:
        end: the time of `clock` at which to stop. The next run continues a folder that takes longer.
    """
    newest = f"{timezone.now() - 2 * _DAY:%Y/%m/%d}"
    days = sorted(day for day in stored_days() if day <= newest)
    if not days:
        return 0
    done = cache.get(_CURSOR, "")
    day = next((day for day in days if day > done), days[0])
    cache.set(_CURSOR, day, timeout=None)  # first, so that an unreadable folder does not block all others
    count, orphans = 0, _likely_orphans(day)
    for begin in range(0, len(orphans), BATCH):
        if end is not None and clock() >= end:
            cache.set(_CURSOR, done, timeout=None)
            break
        count += _delete_orphans(orphans[begin : begin + BATCH])
    if count:
        logger.warning("deleted %d files of %s that no inference references", count, day)
    return count


def _likely_orphans(day: str) -> Sequence[str]:
    """Return the files in a day's folder that no row created around that day references."""
    folder = f"{_ROOT}/{day}"
    names = {f"{folder}/{name}" for name in media_store.listdir(folder)[1]}
    begin = datetime.strptime(day, "%Y/%m/%d").replace(tzinfo=UTC)
    rows = Inference.objects.filter(created_at__gte=begin - _DAY, created_at__lt=begin + 2 * _DAY)
    return sorted(names.difference(rows.values_list("image", flat=True).iterator(chunk_size=10_000)))


def _delete_orphans(names: Sequence[str]) -> int:
    """Delete the files that no row at all references. Without an index on their names, this reads the whole table."""
    referenced = set(Inference.objects.filter(image__in=names).values_list("image", flat=True))
    orphans = [name for name in names if name not in referenced]
    media_store.delete_many(orphans)
    return len(orphans)


def stored_days(prefix: str = "", depth: int = 3) -> Iterator[str]:
    """Yield the folders of images, such as 2026/01/31. Raises StorageUnavailableError."""
    for folder in media_store.listdir(f"{_ROOT}/{prefix}")[0]:
        if depth > 1:
            yield from stored_days(f"{prefix}{folder}/", depth - 1)
        else:
            yield f"{prefix}{folder}"
