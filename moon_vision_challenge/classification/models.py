import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


def image_path(_: "Inference", filename: str) -> str:
    """Where an uploaded image is kept. Its URL is public, so nobody can guess its name."""
    suffix = filename.rpartition(".")[2]
    return f"inferences/{timezone.now():%Y/%m/%d}/{uuid.uuid4().hex}.{suffix}"


class Inference(models.Model):
    """One image to classify through the queue. This row is the truth; a message only wakes a worker."""

    class STATUS(models.TextChoices):
        """Status of Inference"""

        PENDING = "pending", "waiting for processing"
        PROCESSING = "processing", "processing in progress"
        FAIL = "fail", "can't be processed"
        DONE = "done", "processing is done"
        CANCELED = "canceled", "canceled before processing"

    model_type = models.CharField(max_length=100)
    image = models.FileField(upload_to=image_path, max_length=200)
    label = models.CharField(max_length=200, blank=True, default="")
    # [{"label": …, "score": …, "class_id": …}]: the most probable classes, best first
    predictions = models.JSONField(default=list, blank=True)
    # What the client asked for: a version of the model, a version label, or neither
    version = models.PositiveBigIntegerField(null=True, blank=True)
    version_label = models.CharField(max_length=100, blank=True, default="")
    # The version that answered; null if the model server does not say
    model_version = models.PositiveBigIntegerField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=STATUS.choices, default=STATUS.PENDING)
    # {"code": …, "detail": …}: why it failed, or why the last attempt did
    error = models.JSONField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Times are PostgreSQL's: the clocks of web servers and workers need not agree.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # A pending row may be claimed from this time on: after a transient failure it lies in the future.
    available_at = models.DateTimeField(db_default=Now())
    # Who claims a row gets a lease; only its holder may finish the row.
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    # A client that repeats its POST under the same Idempotency-Key gets this row again.
    idempotency_scope = models.CharField(max_length=64, blank=True, default="", editable=False)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)  # noqa: DJ001  # NULL is never a duplicate
    payload_sha256 = models.CharField(max_length=64, blank=True, default="", editable=False)
    webhook_url = models.URLField(max_length=2000, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "processing", "fail", "done", "canceled"]),
                name="inference_status_is_known",
            ),
            models.UniqueConstraint(fields=["idempotency_scope", "idempotency_key"], name="inference_idempotency"),
        ]
        indexes = [
            # These are as small as the backlog, however many rows are done.
            models.Index(fields=["available_at"], condition=models.Q(status="pending"), name="inference_waiting"),
            models.Index(
                fields=["model_type", "available_at"],
                condition=models.Q(status="pending"),
                name="inference_waiting_by_type",
            ),
            # The history: newest first, all or by a filter; an index read backwards gives the page without sorting.
            models.Index(fields=["created_at"], name="inference_created"),
            models.Index(fields=["status", "created_at"], name="inference_by_status"),
            models.Index(fields=["model_type", "created_at"], name="inference_by_type"),
            models.Index(
                fields=["finished_at"], condition=models.Q(finished_at__isnull=False), name="inference_finished"
            ),
            models.Index(fields=["lease_expires_at"], condition=models.Q(status="processing"), name="inference_leased"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.model_type} {self.status}"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES


FINAL_STATUSES = (Inference.STATUS.DONE, Inference.STATUS.FAIL, Inference.STATUS.CANCELED)
