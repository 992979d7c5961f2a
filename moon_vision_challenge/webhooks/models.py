import uuid

from django.db import models
from django.db.models.functions import Now

from moon_vision_challenge.accounts.models import OWNER_OPTIONS, Owner


class WebhookDelivery(models.Model):
    """One event for one webhook URL, and the result of each attempt to deliver it."""

    class Status(models.TextChoices):
        PENDING = "pending", "waiting for its next attempt"
        DELIVERED = "delivered", "the receiver answered 2xx"
        FAIL = "fail", "given up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)  # the webhook-id that the receiver sees
    # What the event is about. Not a foreign key, because this app does not know the rows of other apps.
    subject_id = models.BigIntegerField(db_index=True)
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_index=False, **OWNER_OPTIONS)
    url = models.URLField(max_length=2000)
    # The URL's host: attempts per host are limited. The database has a default, because an older release omits it.
    host = models.CharField(max_length=255, editable=False, default="", db_default="")
    event = models.CharField(max_length=50)
    body = models.TextField(editable=False)  # each attempt sends the same bytes
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # The origin of the event: the ids for logs and traces
    request_id = models.CharField(max_length=64, editable=False, default="", db_default="")
    traceparent = models.CharField(max_length=55, editable=False, default="", db_default="")
    # [{"at": …, "status": 500, "error": "", "ms": 12}, …], one entry per attempt
    log = models.JSONField(default=list, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False, db_index=True)
    next_attempt_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=models.Q(status="pending"), name="webhook_due"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject_id} {self.status}"


class DisabledWebhook(models.Model):
    """A URL that answered 410 Gone. The service sends nothing there until you delete this row."""

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_index=False, **OWNER_OPTIONS)
    url = models.URLField(max_length=2000)
    disabled_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["url", "owner"], name="webhook_is_disabled_once")]

    def __str__(self) -> str:
        return self.url


class WebhookSecret(models.Model):
    """A secret that signs an owner's webhooks. Owners without one use WEBHOOK_SECRET.

    A rotation adds a secret and gives the earlier one an expiry time. Until then, webhooks carry both signatures.
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, **OWNER_OPTIONS)
    secret = models.CharField(max_length=100, editable=False)  # in plain text, because signing needs it
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"secret {self.pk} of owner {self.owner_id}"
