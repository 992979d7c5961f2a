"""The progress of a job."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone
from redis.exceptions import RedisError

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.jobs.models import Job

_STATUSES = [status.value for status in Inference.STATUS]
_COUNTED_PER_S = 50_000
"""A job with more rows is counted less often."""
_FIRST_ERRORS = 5


class Progress(NamedTuple):
    counts: dict[str, int]
    """The number of images in each status. Those not unpacked are pending, or canceled or failed with the job."""
    first_errors: list[dict[str, Any]]
    images_per_s: float | None
    expected_end: datetime | None


def progress_of(job: Job) -> Progress:
    counts, first_errors = _seen(job)
    if job.is_final or job.started_at is None:
        return Progress(counts, first_errors, _rate(job, counts, job.finished_at), None)
    rate = _rate(job, counts, timezone.now())
    left = counts["pending"] + counts["processing"]
    is_known = rate and job.status == Job.STATUS.PROCESSING
    return Progress(
        counts, first_errors, rate, timezone.now() + timedelta(seconds=left / rate) if rate and is_known else None
    )


def count(job: Job) -> dict[str, int]:
    """Count the images of a job from its rows."""
    return _with_rest(job, _count_rows([job.pk])[job.pk])


def count_all(jobs: Collection[Job]) -> dict[int, dict[str, int]]:
    """Return the counts of each job by its id. The rows of unfinished jobs are counted together."""
    found = _count_rows([job.pk for job in jobs if not job.is_final or job.counts is None])
    return {job.pk: _with_rest(job, found[job.pk]) if job.pk in found else dict(job.counts or {}) for job in jobs}


def _count_rows(keys: Collection[int]) -> dict[int, dict[str, int]]:
    """Return the number of rows by job and status. Without jobs, the database is not queried."""
    rows = Inference.objects.filter(job_id__in=keys).values_list("job_id", "status").annotate(count=Count("id"))
    found: dict[int, dict[str, int]] = {key: {} for key in keys}
    for key, status, number in rows:
        found[key][status] = number
    return found


def _with_rest(job: Job, counted: dict[str, int]) -> dict[str, int]:
    """Return the counts of all statuses, including the images that are not unpacked."""
    counts = {**dict.fromkeys(_STATUSES, 0), **counted}
    if job.status == Job.STATUS.UNPACKING:
        counts["pending"] += job.total - job.unpacked
    elif job.status in (Job.STATUS.CANCELING, Job.STATUS.CANCELED):
        counts["canceled"] += job.total - job.unpacked
    elif job.status == Job.STATUS.FAIL:
        counts["fail"] += job.total - job.unpacked
    return counts


def first_errors(job: Job) -> list[dict[str, Any]]:
    failed = Inference.objects.filter(job_id=job.pk, status=Inference.STATUS.FAIL).order_by("position")
    found = failed.values_list("position", "name", "error")[:_FIRST_ERRORS]
    return [{"index": position, "name": name, "error": error} for position, name, error in found]


def _seen(job: Job) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return the counts and the first errors. They may be a second old, or a few seconds for a large job.

    Counting reads an index entry for each row.
    """
    if job.is_final and job.counts is not None:
        return job.counts, first_errors(job)
    key = f"job.{job.pk}.{job.status}.seen"
    try:
        seen = cache.get(key)
        if seen is None:
            seen = count(job), first_errors(job)
            cache.set(key, seen, timeout=1 + job.total // _COUNTED_PER_S)
    except RedisError:
        return count(job), first_errors(job)
    return seen[0], seen[1]


def _rate(job: Job, counts: dict[str, int], until: datetime | None) -> float | None:
    """Return the images per second since the first one was unpacked."""
    if job.started_at is None or until is None:
        return None
    elapsed_s = (until - job.started_at).total_seconds()
    ended = counts["done"] + counts["fail"]
    return round(ended / elapsed_s, 2) if ended and elapsed_s > 0 else None
