"""The secrets that sign webhooks: an owner's, or WEBHOOK_SECRET for owners without one."""

import base64
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from standardwebhooks import Webhook

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.webhooks.models import WebhookSecret

OVERLAP = timedelta(hours=24)
"""How long the earlier secret stays valid after a rotation."""
_SECRET_BYTES = 32


def has_secret(owner_id: int) -> bool:
    """Return whether webhooks of this owner can be signed."""
    return bool(settings.WEBHOOK_SECRET) or _valid(owner_id).exists()


def signature(*, owner_id: int | None, message_id: str, at: datetime, body: str) -> str:
    """Return the header `webhook-signature`: a signature for each valid secret, newest first, separated by spaces."""
    valid = list(_valid(owner_id).values_list("secret", flat=True)) or [settings.WEBHOOK_SECRET]
    return " ".join(Webhook(secret).sign(message_id, at, body) for secret in valid)


def rotate_secret(owner: Owner, *, actor: str | Caller, overlap: timedelta = OVERLAP) -> WebhookSecret:
    """Give an owner a new secret. The earlier one stays valid during `overlap`.

    At most two secrets are valid at a time: a secret that an earlier rotation has replaced becomes invalid now.
    """
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    with transaction.atomic():
        Owner.objects.select_for_update().get(pk=owner.pk)  # one rotation at a time
        own = WebhookSecret.objects.filter(owner=owner)
        if settings.WEBHOOK_SECRET and not own.exists():
            WebhookSecret.objects.create(owner=owner, secret=settings.WEBHOOK_SECRET)
        own.filter(expires_at__isnull=False).delete()
        own.update(expires_at=Now() + overlap)
        new = WebhookSecret.objects.create(owner=owner, secret=secret)
    audit.record("webhook_secret.rotate", actor=actor, owner=owner.name, overlap_s=overlap.total_seconds())
    return new


def _valid(owner_id: Any) -> QuerySet[WebhookSecret]:
    is_valid = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
    return WebhookSecret.objects.filter(is_valid, owner_id=owner_id).order_by("-pk")
