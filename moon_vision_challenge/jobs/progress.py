"""How far a job is."""

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
    """How many images have which status. Those that are not unpacked yet are pending."""
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
    """From the rows."""
    return _with_rest(job, _count_rows([job.pk])[job.pk])


def count_all(jobs: Collection[Job]) -> dict[int, dict[str, int]]:
    """The counts of each job, by its id. The rows of those that go on are counted together."""
    found = _count_rows([job.pk for job in jobs if not job.is_final or job.counts is None])
    return {job.pk: _with_rest(job, found[job.pk]) if job.pk in found else dict(job.counts or {}) for job in jobs}


def _count_rows(keys: Collection[int]) -> dict[int, dict[str, int]]:
    """Job → status → rows. Without jobs, no query."""
    rows = Inference.objects.filter(job_id__in=keys).values_list("job_id", "status").annotate(count=Count("id"))
    found: dict[int, dict[str, int]] = {key: {} for key in keys}
    for key, status, number in rows:
        found[key][status] = number
    return found


def _with_rest(job: Job, counted: dict[str, int]) -> dict[str, int]:
    """The counts of all statuses, with the images that are not unpacked."""
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
    """Up to a second old, for large jobs a few: counting reads an index entry for each row."""
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
    """Images per second since the first was unpacked."""
    if job.started_at is None or until is None:
        return None
    elapsed_s = (until - job.started_at).total_seconds()
    ended = counts["done"] + counts["fail"]
    return round(ended / elapsed_s, 2) if ended and elapsed_s > 0 else None
