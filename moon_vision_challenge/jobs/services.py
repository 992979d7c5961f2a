"""What a client can do with jobs (create, wait, cancel, delete), and what is done for them in the background."""

import logging
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.db.models.functions import Now

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.prediction import NEWEST, VersionChoice
from moon_vision_challenge.classification.services import Idempotency, wait_while
from moon_vision_challenge.jobs import endings, leases, removal, unpacking, uploads
from moon_vision_challenge.jobs.errors import JobConflictError, JobNotRunningError, TooManyWaitingError
from moon_vision_challenge.jobs.models import FINAL_STATUSES, RUNNING_STATUSES, Job
from moon_vision_challenge.jobs.uploads import Contents, Upload

logger = logging.getLogger(__name__)

STATUS = Job.STATUS
_UNFINISHED = (*RUNNING_STATUSES, STATUS.CANCELING)


class Options(NamedTuple):
    """How the images of a job are classified, and where its end is announced."""

    model_type: str
    version: VersionChoice = NEWEST
    top_k: int = 1
    webhook_url: str = ""


def create_job(
    *, owner_id: int, upload: Upload, contents: Contents, options: Options, idempotency: Idempotency | None = None
) -> tuple[Job, bool]:
    """Store an upload, which is unpacked and classified later.

    Returns:
        The job, and whether it is new. It is not new if the idempotency key was used before for the same request.

    Raises:
        JobConflictError: the key was used before for another request.
        TooManyWaitingError: the images of all unfinished jobs would exceed JOB_MAX_PENDING.
        StorageUnavailableError: the upload cannot be stored.
    """
    job = _new_job(owner_id, contents, options)
    if idempotency:
        job.idempotency_scope, job.idempotency_key = idempotency
        job.payload_sha256 = uploads.payload_sha256(contents, f"{options}")
        if earlier := _find_earlier(job):
            return earlier, False
    _check_capacity(contents.total)
    job.upload = upload.keep()
    try:
        job.save(force_insert=True)
    except IntegrityError:  # one of several identical, simultaneous requests has created it
        uploads.delete(job)
        if (earlier := _find_earlier(job)) is None:
            raise
        return earlier, False
    return job, True


def wait_until_final(*, job_id: int, timeout_s: float) -> bool:
    """Wait in the same way as for an inference."""
    unfinished = Job.objects.filter(pk=job_id).exclude(status__in=FINAL_STATUSES)
    return wait_while(unfinished.exists, timeout_s=timeout_s)


def cancel_job(*, job_id: int, actor: Caller | str) -> Job:
    """Cancel the images that no worker has claimed. Canceling the job again changes nothing.

    Raises:
        Job.DoesNotExist: the job does not exist.
        JobNotRunningError: it has ended in another way, or is being deleted.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if is_running := job.status in RUNNING_STATUSES:
            job.status, job.lease_token, job.lease_expires_at = STATUS.CANCELING, None, None
            job.save(update_fields=["status", "lease_token", "lease_expires_at"])
    if job.status not in (STATUS.CANCELING, STATUS.CANCELED):
        raise JobNotRunningError
    if is_running:
        audit.record("job.cancel", actor=actor, job_id=job_id, owner_id=job.owner_id)
    return job


def delete_job(*, job_id: int, actor: Caller | str) -> None:
    """Start the deletion of a job with its rows, files, and webhooks. Deleting it again changes nothing.

    Raises Job.DoesNotExist.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if job.status == STATUS.DELETING:
            return
        job.status, job.lease_token, job.lease_expires_at = STATUS.DELETING, None, None
        job.save(update_fields=["status", "lease_token", "lease_expires_at"])
    audit.record("job.delete", actor=actor, job_id=job_id, owner_id=job.owner_id)


def advance(job_id: int, wake: unpacking.Wake) -> bool:
    """Unpack, cancel, or delete the job for a while, by its status. Return whether there is more to do now."""
    job = leases.take(job_id)
    if job is None:
        return False
    try:
        match job.status:
            case STATUS.UNPACKING:
                has_more = unpacking.unpack(job, wake)
            case STATUS.CANCELING:
                has_more = removal.cancel_rows(job)
            case STATUS.DELETING:
                has_more = removal.delete_rows(job)
            case _:
                has_more = False
    except leases.LostLeaseError:
        return False
    except StorageUnavailableError as error:
        logger.warning("job %d continues later: %s", job_id, error)
        return False
    if has_more or job.status in (STATUS.PROCESSING, *FINAL_STATUSES):
        leases.release(job)
    return has_more


def find_work() -> list[int]:
    """Return the jobs that have work left, but no worker."""
    running = Job.objects.filter(status__in=[STATUS.PROCESSING, STATUS.CANCELING])
    endings.finish_those_over(list(running.values_list("pk", flat=True)))
    waiting = Job.objects.filter(status__in=[STATUS.UNPACKING, STATUS.CANCELING, STATUS.DELETING])
    return list(waiting.exclude(lease_expires_at__gt=Now()).values_list("pk", flat=True))


def delete_old() -> None:
    """Start the deletion of jobs that ended INFERENCE_RETENTION_DAYS ago. Delete uploads that belong to no job."""
    age = timedelta(days=settings.INFERENCE_RETENTION_DAYS)
    old = Job.objects.filter(finished_at__lt=Now() - age, status__in=FINAL_STATUSES)
    if count := old.update(status=STATUS.DELETING, lease_token=None, lease_expires_at=None):
        logger.info("%d old jobs are being deleted", count)
    if count := uploads.delete_abandoned(older_than_s=24 * 3600):
        logger.warning("deleted %d uploads that belong to no job", count)


def _new_job(owner_id: int, contents: Contents, options: Options) -> Job:
    return Job(
        owner_id=owner_id,
        model_type=options.model_type,
        version=options.version.number,
        version_label=options.version.label,
        top_k=options.top_k,
        webhook_url=options.webhook_url,
        container=contents.container,
        upload_offset=contents.source.offset,
        upload_bytes=contents.source.size,
        boundary=contents.source.boundary,
        total=contents.total,
    )


def _find_earlier(job: Job) -> Job | None:
    earlier = Job.objects.filter(idempotency_scope=job.idempotency_scope, idempotency_key=job.idempotency_key).first()
    if earlier and earlier.payload_sha256 != job.payload_sha256:
        raise JobConflictError
    return earlier


def _check_capacity(count: int) -> None:
    """An image counts until its job has ended. The limit protects the disk, and does not need to be exact."""
    waiting = Job.objects.filter(status__in=_UNFINISHED).aggregate(total=Sum("total"))["total"] or 0
    if waiting + count > settings.JOB_MAX_PENDING:
        raise TooManyWaitingError
