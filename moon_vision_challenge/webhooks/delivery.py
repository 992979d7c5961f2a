"""Delivers webhooks, signed as https://www.standardwebhooks.com describes."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook

from moon_vision_challenge import http_client
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery

logger = logging.getLogger(__name__)

Status = WebhookDelivery.Status

# The pauses that Standard Webhooks recommends after each failed attempt, in seconds; after the last one it gives up.
RETRY_DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
DEADLINE_S = 15
"""An attempt is over by then."""
_LEASE_S = 120  # longer than an attempt takes
CLAIM_SIZE = 4


def is_due() -> bool:
    return WebhookDelivery.objects.filter(status=Status.PENDING, next_attempt_at__lte=Now()).exists()


def claim_due() -> list[WebhookDelivery]:
    """Claim deliveries whose time has come. Until the claim is over nobody else tries them."""
    due = (
        WebhookDelivery.objects.select_for_update(skip_locked=True)
        .filter(status=Status.PENDING, next_attempt_at__lte=Now())
        .order_by("next_attempt_at")[:CLAIM_SIZE]
    )
    deliveries = list(due)
    WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).update(
        attempts=F("attempts") + 1, next_attempt_at=Now() + timedelta(seconds=_LEASE_S)
    )
    for delivery in deliveries:
        delivery.attempts += 1
    return deliveries


def deliver(deliveries: Sequence[WebhookDelivery]) -> None:
    """Try each once, all at the same time, and write what became of it.

    2xx is success, 410 disables the URL, anything else is tried again.
    """
    with ThreadPoolExecutor(max_workers=CLAIM_SIZE) as threads:
        attempts = list(threads.map(_attempt, deliveries))
    for delivery, attempt in zip(deliveries, attempts, strict=True):
        _record(delivery, attempt)


def _attempt(delivery: WebhookDelivery) -> dict[str, Any]:
    """Returns an entry of the delivery's log."""
    begin = time.monotonic()
    status, error = None, ""
    try:
        status = _post(delivery)
    except http_client.RequestFailedError as failure:
        error = str(failure)[:300]
    took_ms = round(1000 * (time.monotonic() - begin))
    return {"at": timezone.now().isoformat(), "status": status, "error": error, "ms": took_ms}


def _record(delivery: WebhookDelivery, attempt: dict[str, Any]) -> None:
    delivery.log = [*delivery.log, attempt]
    status = attempt["status"]
    if status is not None and 200 <= status < 300:
        delivery.status = Status.DELIVERED
    elif status == 410:
        DisabledWebhook.objects.get_or_create(url=delivery.url)
        WebhookDelivery.objects.filter(url=delivery.url, status=Status.PENDING).update(status=Status.FAIL)
        delivery.status = Status.FAIL
    elif delivery.attempts > len(RETRY_DELAYS_S):
        delivery.status = Status.FAIL
    else:
        delivery.next_attempt_at = timezone.now() + timedelta(seconds=RETRY_DELAYS_S[delivery.attempts - 1])
    delivery.save(update_fields=["status", "log", "next_attempt_at"])
    about = f"{delivery.event} {delivery.subject_id}"
    logger.info("webhook %s, %s: %s %s", delivery.pk, about, status, attempt["error"])


def _post(delivery: WebhookDelivery) -> int:
    """Returns the status of the response, of which nothing else matters."""
    message_id, now = str(delivery.pk), timezone.now()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "moon-vision-challenge",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(settings.WEBHOOK_SECRET).sign(message_id, now, delivery.body),
    }
    status, _ = http_client.guarded_request(
        delivery.url,
        delivery.body.encode(),
        headers=headers,
        deadline_s=DEADLINE_S,
        max_body_bytes=0,
        allow_private=settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES,
    )
    return status
