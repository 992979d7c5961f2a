from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from moon_vision_challenge.accounts.models import OWNER_OPTIONS, Owner


class Job(models.Model):
    """Many images in one request. Each becomes an Inference with this job's id, even if it cannot be classified."""

    class STATUS(models.TextChoices):
        UNPACKING = "unpacking", "its images become inferences"
        PROCESSING = "processing", "its inferences are processed"
        DONE = "done", "each image has a label or an error"
        FAIL = "fail", "its upload was lost or cannot be unpacked"
        CANCELING = "canceling", "its pending inferences are being canceled"
        CANCELED = "canceled", "canceled"
        DELETING = "deleting", "it is being deleted"

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_index=False, **OWNER_OPTIONS)
    model_type = models.CharField(max_length=100)
    version = models.PositiveBigIntegerField(null=True, blank=True)
    version_label = models.CharField(max_length=100, blank=True, default="")
    top_k = models.PositiveSmallIntegerField(default=1)
    webhook_url = models.URLField(max_length=2000, blank=True, default="")
    status = models.CharField(max_length=20, choices=STATUS.choices, default=STATUS.UNPACKING)
    # {"code": …, "detail": …}: why it failed
    error = models.JSONField(null=True, blank=True)
    # The upload, until it is unpacked: a file in the media store, and the range and type of the container in it
    upload = models.CharField(max_length=200, blank=True, default="")
    container = models.CharField(max_length=10)
    upload_offset = models.BigIntegerField(default=0)
    upload_bytes = models.BigIntegerField()
    boundary = models.CharField(max_length=300, blank=True, default="")
    # The number of images, of those that are already rows, and of those in each status (null until the job is final).
    total = models.PositiveIntegerField()
    unpacked = models.PositiveIntegerField(default=0)
    counts = models.JSONField(null=True, blank=True)
    # Whose key it is, and the key itself. Both may be empty. A client that repeats its POST gets the same job again.
    idempotency_scope = models.CharField(max_length=64, blank=True, default="")
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    payload_sha256 = models.CharField(max_length=64, blank=True, default="")
    # Times are PostgreSQL's, because the clocks of web servers and workers may differ.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Which worker processes it in the background, and until when no other worker may
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["idempotency_scope", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="job_idempotency_key_is_unique",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-id"], name="job_owner"),
            models.Index(
                fields=["id"],
                condition=Q(status__in=["unpacking", "processing", "canceling", "deleting"]),
                name="job_unfinished",
            ),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="job_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.model_type} {self.status}"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES


FINAL_STATUSES = (Job.STATUS.DONE, Job.STATUS.FAIL, Job.STATUS.CANCELED)
RUNNING_STATUSES = (Job.STATUS.UNPACKING, Job.STATUS.PROCESSING)
