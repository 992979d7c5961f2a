"""Checks after each batch whether the jobs of its rows have ended, and announces each end once."""

from collections.abc import Collection

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Now

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.jobs import progress
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.webhooks import outbox

KIND = "job"
"""The types of job events begin with it."""

_OPEN = [Inference.STATUS.PENDING, Inference.STATUS.PROCESSING]
# Ordered, so that the planner reads the first entry of an index, instead of looking for it in the table.
_first_open_row = Inference.objects.filter(job_id=OuterRef("pk"), status__in=_OPEN).order_by("position").values("pk")
_AFTER = {Job.STATUS.PROCESSING: Job.STATUS.DONE, Job.STATUS.CANCELING: Job.STATUS.CANCELED}


def on_rows_ended(*, job_ids: Collection[int], **_: object) -> None:
    """A receiver of rows_of_jobs_ended."""
    finish_those_over(job_ids)


def finish_those_over(job_ids: Collection[int]) -> None:
    """Give these jobs their final status if all of their rows are final. Several processes may try."""
    running = Job.objects.filter(pk__in=job_ids, status__in=list(_AFTER))
    over = running.alias(open_row=Subquery(_first_open_row[:1])).filter(open_row__isnull=True)
    for job_id in over.values_list("pk", flat=True):
        with transaction.atomic():
            job = Job.objects.select_for_update().filter(pk=job_id, status__in=list(_AFTER)).first()
            if job:
                end(job, _AFTER[Job.STATUS(job.status)])


def end(job: Job, status: Job.STATUS, error: dict[str, str] | None = None) -> None:
    """End the job. Call it in a transaction that has locked the job."""
    job.status, job.error = status, error
    counts = progress.count(job)
    job.counts = None if status == Job.STATUS.FAIL else counts  # rows of a failed job may still be processed
    job.finished_at = Now()  # PostgreSQL's clock
    job.save(update_fields=["status", "error", "counts", "finished_at"])
    if job.webhook_url:
        data = {"id": job.pk, "model_type": job.model_type, "status": str(status), "total": job.total}
        data |= {"counts": counts, "error": error}
        outbox.announce([outbox.Event(job.webhook_url, f"{KIND}.{status}", job.pk, data, job.owner_id)])
