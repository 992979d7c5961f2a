"""Leases: which worker processes a job in the background, and until when."""

import uuid
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from moon_vision_challenge.jobs.models import Job

LEASE = timedelta(seconds=60)


class LostLeaseError(Exception):
    """Another worker has the job, or its status has changed."""


def take(job_id: int) -> Job | None:
    """Lease the job, and return it. Return None if it is deleted, or if another worker has it."""
    token = uuid.uuid4()
    free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=Now())
    taken = Job.objects.filter(free, pk=job_id).update(lease_token=token, lease_expires_at=Now() + LEASE)
    return Job.objects.filter(pk=job_id, lease_token=token).first() if taken else None


def lock(job: Job) -> Job:
    """Lock the row for the rest of the transaction, and extend the lease. Raises LostLeaseError."""
    held = Job.objects.select_for_update().filter(pk=job.pk, lease_token=job.lease_token, status=job.status)
    if (current := held.first()) is None:
        raise LostLeaseError
    current.lease_expires_at = Now() + LEASE  # PostgreSQL's clock
    return current


def release(job: Job, *, retry_in_s: float = 0) -> None:
    """Let other workers take the job, after a pause."""
    expiry = Now() + timedelta(seconds=retry_in_s) if retry_in_s else None
    Job.objects.filter(pk=job.pk, lease_token=job.lease_token).update(lease_token=None, lease_expires_at=expiry)
