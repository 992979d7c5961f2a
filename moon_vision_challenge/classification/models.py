import uuid
from typing import Any

from django.db import models
from django.db.models.fields.files import FieldFile
from django.db.models.functions import Now
from django.utils import timezone

from moon_vision_challenge.accounts.models import OWNER_OPTIONS, Owner
from moon_vision_challenge.classification.media_store import signed_urls


def image_path(_: "Inference", filename: str) -> str:
    """Return the name under which an uploaded image is stored."""
    suffix = filename.rpartition(".")[2]
    return f"inferences/{timezone.now():%Y/%m/%d}/{uuid.uuid4().hex}.{suffix}"


class UploadedImage(FieldFile):
    """An uploaded image. Its URL is signed and expires."""

    instance: "Inference"

    @property
    def url(self) -> str:
        self._require_file()  # type: ignore[attr-defined]
        return signed_urls.sign(str(self.name), self.instance.created_at)


class UploadedImageField(models.FileField):
    attr_class = UploadedImage

    def deconstruct(self) -> Any:
        """Deconstruct like FileField: the column is the same, so this class needs no migration."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.FileField", args, kwargs


class Inference(models.Model):
    """One image to classify through the queue. The row is the source of truth. A message only wakes a worker."""

    class STATUS(models.TextChoices):
        """The status of an inference."""

        PENDING = "pending", "waiting for processing"
        PROCESSING = "processing", "processing in progress"
        FAIL = "fail", "can't be processed"
        DONE = "done", "processing is done"
        CANCELED = "canceled", "canceled before processing"

    # The indexes of the history begin with this column.
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_index=False, **OWNER_OPTIONS)
    model_type = models.CharField(max_length=100)
    image = UploadedImageField(upload_to=image_path, max_length=200)
    label = models.TextField(blank=True, default="")
    # [{"label": …, "score": …, "class_id": …}]: the most probable classes, best first
    predictions = models.JSONField(default=list, blank=True)
    # The Celery queue that processes the row. If a class changes its queue, the sweep moves its rows.
    queue = models.CharField(max_length=100, default="inferences", db_default="inferences", editable=False)
    # What the client requested: a version of the model, a version label, or neither
    version = models.PositiveBigIntegerField(null=True, blank=True)
    version_label = models.CharField(max_length=100, blank=True, default="")
    # The version that answered; null if the model server does not report it
    model_version = models.PositiveBigIntegerField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=STATUS.choices, default=STATUS.PENDING)
    # {"code": …, "detail": …}: why the inference, or its last attempt, failed
    error = models.JSONField(null=True, blank=True)
    # Attempts that count against INFERENCE_MAX_ATTEMPTS: those that the image or the model's answer used up.
    attempts = models.PositiveSmallIntegerField(default=0)
    # The time since which a service that this row needs has been unavailable. Null if the last attempt reached all.
    unavailable_since = models.DateTimeField(null=True, blank=True, editable=False)
    # Whether a batch with this row was lost. If so, the row is claimed alone until the row that caused it is known.
    claim_alone = models.BooleanField(default=False, db_default=False, editable=False)
    # PostgreSQL sets the times, because the clocks of web servers and workers may differ.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # A pending row may be claimed from this time on. After a transient failure, it is in the future.
    available_at = models.DateTimeField(db_default=Now())
    # A worker that claims a row gets a lease. Only the lease holder may finish the row.
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    webhook_url = models.URLField(max_length=2000, blank=True, default="")
    # The request that created the row, and its position in a trace (the `traceparent` header), for logs and traces.
    # The database has defaults, because an older release omits them.
    request_id = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="", editable=False)
    # Rows are claimed in this order (queue/turns.py). An older release omits it, so its rows come first.
    turn = models.BigIntegerField(default=0, db_default=0, editable=False)
    # The job of the row, its position in the job, and the client's name for it. Not a foreign key, because this app
    # knows nothing about jobs.
    job_id = models.BigIntegerField(null=True, editable=False)
    position = models.PositiveIntegerField(null=True, editable=False)
    name = models.CharField(max_length=500, default="", db_default="", editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "processing", "fail", "done", "canceled"]),
                name="inference_status_is_known",
            ),
            # Keeps two workers that unpack a job from storing an image twice. Its index also serves to count statuses.
            models.UniqueConstraint(
                fields=["job_id", "position"],
                include=["status"],
                condition=models.Q(job_id__isnull=False),
                name="inference_of_job",
            ),
        ]
        indexes = [
            # The size of these indexes depends on the backlog, not on the number of finished rows.
            models.Index(
                fields=["queue", "turn", "available_at"], condition=models.Q(status="pending"), name="inference_next"
            ),
            models.Index(
                fields=["queue", "model_type", "turn", "available_at"],
                condition=models.Q(status="pending"),
                name="inference_next_of_type",
            ),
            models.Index(
                fields=["queue", "owner", "turn"], condition=models.Q(status="pending"), name="inference_next_of_owner"
            ),
            models.Index(
                fields=["job_id", "position"],
                condition=models.Q(job_id__isnull=False, status__in=["pending", "processing"]),
                name="inference_open_in_job",
            ),
            # An owner's history, newest first, all or filtered. Reading an index backward gives a page without sorting.
            models.Index(fields=["owner", "created_at"], name="inference_owner"),
            models.Index(fields=["owner", "status", "created_at"], name="inference_owner_status"),
            models.Index(fields=["owner", "model_type", "created_at"], name="inference_owner_type"),
            models.Index(
                fields=["finished_at"], condition=models.Q(finished_at__isnull=False), name="inference_finished"
            ),
            # The admin's dates, and retention's search for files without a row
            models.Index(fields=["created_at"], name="inference_created_at"),
            # The admin's lists by status. Most rows are done, so the index by date is enough for those.
            models.Index(
                fields=["status", "created_at"],
                condition=models.Q(status__in=["fail", "canceled"]),
                name="inference_ended_badly",
            ),
            models.Index(fields=["lease_expires_at"], condition=models.Q(status="processing"), name="inference_leased"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.model_type} {self.status}"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES


FINAL_STATUSES = (Inference.STATUS.DONE, Inference.STATUS.FAIL, Inference.STATUS.CANCELED)


class IdempotencyKey(models.Model):
    """Maps an Idempotency-Key to a row, so that a client that repeats its POST gets the same row again.

    It is a separate table, so that inferences need no unique index for it.
    """

    scope = models.CharField(max_length=64)  # the owner, or the SHA-256 of an anonymous caller's address
    key = models.CharField(max_length=255)
    payload_sha256 = models.CharField(max_length=64)
    # No database constraint, because retention deletes thousands of rows at a time, together with their keys.
    inference = models.ForeignKey(Inference, on_delete=models.CASCADE, db_constraint=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_is_unique")]

    def __str__(self) -> str:
        return f"{self.key} of inference {self.inference_id}"


class Outage(models.Model):
    """A service that does not answer. Rows that need it are not claimed until `until`. Then one row is tried.

    The first attempt without an outage deletes this row.
    """

    model_type = models.CharField(max_length=100, unique=True, blank=True)  # empty: the media store, for all rows
    since = models.DateTimeField(db_default=Now(), editable=False)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.model_type or 'media store'} since {self.since}"
