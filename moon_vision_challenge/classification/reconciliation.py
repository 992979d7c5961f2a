"""Reconciles rows and image files after a restore that left one of the two older than the other.

PostgreSQL compares them, day by day, in temporary tables. This process holds one page of names at a time. The tables
belong to the connection, so it must lead to PostgreSQL itself, not through a transaction pool.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from moon_vision_challenge.classification import events, thumbnails
from moon_vision_challenge.classification.media_store import media_store
from moon_vision_challenge.classification.models import FINAL_STATUSES, Inference
from moon_vision_challenge.classification.queue import retention

BATCH = 1000
"""The number of names that are sent to PostgreSQL together, and of rows or files that are changed together."""
IMAGE_LOST = {"code": "image_lost", "detail": "The image was lost before it was processed. Send it again."}
_ROOT = "inferences"
_DAY = timedelta(days=1)

_TABLES = """
SET statement_timeout = 0;
CREATE TEMPORARY TABLE IF NOT EXISTS found_file (file text, is_settled boolean);
CREATE TEMPORARY TABLE IF NOT EXISTS lost_file (id bigint PRIMARY KEY);
CREATE TEMPORARY TABLE IF NOT EXISTS lost_row (file text PRIMARY KEY);
TRUNCATE found_file, lost_file, lost_row
"""
_ADD_FILES = "INSERT INTO found_file SELECT * FROM unnest(%s::text[], %s::boolean[])"
# A file's name contains the day on which its row was created, by a clock that may differ from PostgreSQL's.
_AROUND_THE_DAY = "created_at >= %(day)s - interval '1 day' AND created_at < %(day)s + interval '2 days'"
# Rows that a worker holds are skipped: the worker has opened the file, or reports that it could not.
_FIND_ROWS = f"""
INSERT INTO lost_file
SELECT id FROM classification_inference
WHERE {_AROUND_THE_DAY} AND image LIKE %(files)s AND status <> 'processing'
  AND created_at < statement_timestamp() - %(grace)s
  AND NOT EXISTS (SELECT FROM found_file WHERE file = image)
"""  # noqa: S608 - a constant
_FIND_FILES = f"""
INSERT INTO lost_row
SELECT DISTINCT file FROM found_file
WHERE is_settled
  AND NOT EXISTS (SELECT FROM classification_inference WHERE image = file AND {_AROUND_THE_DAY})
"""  # noqa: S608 - a constant
# Names have no index, so this statement reads the whole table, once for each day that has such files.
_KEEP_FILES_OF_OTHER_DAYS = "DELETE FROM lost_row USING classification_inference WHERE image = file"
_FAIL = """
UPDATE classification_inference
SET status = 'fail', error = %(error)s::jsonb, image = '', finished_at = statement_timestamp()
WHERE id = ANY(%(ids)s) AND status = 'pending' RETURNING *
"""
_FIRST_AND_LAST = (
    "SELECT min(created_at), max(created_at) FROM classification_inference WHERE image LIKE 'inferences/%'"
)


@dataclass
class Findings:
    """What was found and, with `apply`, changed."""

    files: int = 0
    """All image files."""
    files_without_row: int = 0
    pending_without_file: int = 0
    ended_without_file: int = 0


def days() -> Iterator[str]:
    """Yield the days that have files or rows, such as 2026/01/31."""
    stored = set(retention.stored_days())
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_AND_LAST)
        first, last = cursor.fetchone()
    if first:
        for number in range((last - first).days + 3):
            stored.add(f"{first - _DAY + number * _DAY:%Y/%m/%d}")
    yield from sorted(stored)


def reconcile_day(day: str, findings: Findings, *, grace: timedelta, apply: bool) -> None:
    """Compare the files of a day with their rows, and add the differences to `findings`.

    Args:
        grace: rows and files younger than this are left alone, because their counterparts may not have arrived yet.
        apply: fail waiting rows without a file, remove the reference from rows that have ended, and delete files
            without a row, unless a rule of the bucket does. If False, nothing is changed.

    Raises StorageUnavailableError.
    """
    _compare(day, findings, grace)
    for ids in _pages("lost_file", "id"):
        _count_rows(ids, findings)
        if apply:
            _end_rows(ids)
    for names in _pages("lost_row", "file"):
        findings.files_without_row += len(names)
        if apply and not settings.MEDIA_S3_LIFECYCLE:
            media_store.delete_many(names)


def _compare(day: str, findings: Findings, grace: timedelta) -> None:
    folder, settled = f"{_ROOT}/{day}", timezone.now() - grace
    begin = datetime.strptime(day, "%Y/%m/%d").replace(tzinfo=UTC)
    parameters: dict[str, Any] = {"day": begin, "files": f"{folder}/%", "grace": grace}
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        files = iter(media_store.files(folder))
        while page := list(islice(files, BATCH)):
            cursor.execute(_ADD_FILES, [[name for name, _ in page], [changed < settled for _, changed in page]])
            findings.files += len(page)
        cursor.execute("ANALYZE found_file")
        cursor.execute(_FIND_ROWS, parameters)
        cursor.execute(_FIND_FILES, parameters)
        if cursor.rowcount:
            cursor.execute(_KEEP_FILES_OF_OTHER_DAYS)


def _pages(table: str, column: str) -> Iterator[list[Any]]:
    """Yield the values of a temporary table in ascending order, in pages."""
    last: list[Any] = []
    while True:
        after = f"WHERE {column} > %s" if last else ""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {column} FROM {table} {after} ORDER BY {column} LIMIT {BATCH}", last)  # noqa: S608
            values = [value for (value,) in cursor.fetchall()]
        if not values:
            return
        yield values
        last = values[-1:]


def _count_rows(ids: Sequence[int], findings: Findings) -> None:
    rows = Inference.objects.filter(pk__in=ids)
    findings.pending_without_file += rows.filter(status=Inference.STATUS.PENDING).count()
    findings.ended_without_file += rows.filter(status__in=FINAL_STATUSES).count()


def _end_rows(ids: Sequence[int]) -> None:
    """End the rows whose files are lost. Check the store once more, because an operator may be restoring files."""
    names = Inference.objects.filter(pk__in=ids).values_list("pk", "image")
    lost = [inference_id for inference_id, name in names if name and not media_store.exists(name)]
    with transaction.atomic():
        failed = list(Inference.objects.raw(_FAIL, {"error": json.dumps(IMAGE_LOST), "ids": lost}))
        Inference.objects.filter(pk__in=lost, status__in=FINAL_STATUSES).update(image="")
        events.announce_final(failed)
    thumbnails.forget(lost)
