"""Lets other apps announce events. A delivery is a row that is committed together with what it announces."""

import json
import uuid
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from moon_vision_challenge import http_client
from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID
from moon_vision_challenge.webhooks import tasks
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery


class Event(NamedTuple):
    """An event to send to a receiver."""

    url: str
    type: str
    """The type, such as `inference.done`."""
    subject_id: int
    data: dict[str, Any]
    """The payload's `data`, which becomes JSON."""
    owner_id: int | None = ANONYMOUS_OWNER_ID
    request_id: str = ""
    """The id of the request that led to the event."""
    traceparent: str = ""
    """The position in a trace that the delivery continues."""


def announce(events: Collection[Event]) -> None:
    """Write one delivery per event, and start delivering when the transaction commits.

    Call it in the transaction that makes the events true, so that neither can exist without the other.
    """
    if not events:
        return
    urls = {event.url for event in events}
    disabled = set(DisabledWebhook.objects.filter(url__in=urls).values_list("owner_id", "url"))
    now = timezone.now().isoformat()
    deliveries = [
        WebhookDelivery(
            owner_id=event.owner_id,
            subject_id=event.subject_id,
            url=event.url,
            host=http_client.host_of(event.url)[:255],
            event=event.type,
            body=json.dumps({"type": event.type, "timestamp": now, "data": event.data}),
            request_id=event.request_id,
            traceparent=event.traceparent,
        )
        for event in events
        if (event.owner_id, event.url) not in disabled
    ]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries)
        transaction.on_commit(tasks.deliver_soon)


def send_again(delivery_ids: Collection[uuid.UUID]) -> int:
    """Start these deliveries over with all attempts, whether or not they have ended. Returns how many there are.

    The receiver gets the same bytes and the same webhook-id.
    """
    count = WebhookDelivery.objects.filter(pk__in=delivery_ids).update(
        status=WebhookDelivery.Status.PENDING, attempts=0, next_attempt_at=Now()
    )
    transaction.on_commit(tasks.deliver_soon)
    return count


def forget(subject_id: int, *, kind: str) -> None:
    """Delete the deliveries about a subject, sent or not. The types of its events begin with `kind` and a dot."""
    WebhookDelivery.objects.filter(subject_id=subject_id, event__startswith=f"{kind}.").delete()
