"""Deletes what is no longer needed: old inferences with their files, and files without an inference."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from moon_vision_challenge.classification.models import Inference

logger = logging.getLogger(__name__)

_ROOT = "inferences"
_CURSOR = "retention.day"

# SKIP LOCKED: two concurrent runs share the work.
_DELETE_OLD = """
WITH deleted AS (
    DELETE FROM classification_inference WHERE id IN (
        SELECT id FROM classification_inference
        WHERE finished_at < statement_timestamp() - %(age)s
        ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    RETURNING id, image
), deleted_keys AS (
    DELETE FROM classification_idempotencykey WHERE inference_id IN (SELECT id FROM deleted)
)
SELECT image FROM deleted
"""


def delete_old_inferences(*, limit: int = 1000) -> int:
    """Delete at most `limit` rows that have been final for INFERENCE_RETENTION_DAYS, with their files.

    The row goes first. A row without its file would break a promise, but a file without its row is found later.
    """
    parameters: dict[str, Any] = {"age": timedelta(days=settings.INFERENCE_RETENTION_DAYS), "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_OLD, parameters)
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        default_storage.delete(name)
    if names:
        logger.info("deleted %d old inferences", len(names))
    return len(names)


def delete_orphaned_files() -> int:
    """Delete the files of one day's folder that no row references. The next run takes the next folder.

    The files of today and yesterday stay: their rows may not be committed yet.
    """
    newest = f"{timezone.now() - timedelta(days=2):%Y/%m/%d}"
    days = sorted(day for day in _days() if day <= newest)
    if not days:
        return 0
    done = cache.get(_CURSOR, "")
    day = next((day for day in days if day > done), days[0])
    cache.set(_CURSOR, day, timeout=None)
    folder = f"{_ROOT}/{day}"
    names = {f"{folder}/{name}" for name in default_storage.listdir(folder)[1]}
    kept = set(Inference.objects.filter(image__startswith=f"{folder}/").values_list("image", flat=True))
    for name in names - kept:
        default_storage.delete(name)
    if orphans := len(names - kept):
        logger.warning("deleted %d files of %s that no inference references", orphans, day)
    return orphans


def _days(prefix: str = "", depth: int = 3) -> Iterator[str]:
    if not default_storage.exists(f"{_ROOT}/{prefix}".rstrip("/")):
        return
    for folder in default_storage.listdir(f"{_ROOT}/{prefix}")[0]:
        if depth > 1:
            yield from _days(f"{prefix}{folder}/", depth - 1)
        else:
            yield f"{prefix}{folder}"
