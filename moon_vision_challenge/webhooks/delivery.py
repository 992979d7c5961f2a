"""Delivers webhooks, signed as https://www.standardwebhooks.com describes."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from moon_vision_challenge import http_client
from moon_vision_challenge.observability import log_context, metrics, tracing
from moon_vision_challenge.observability.span import Kind, Span
from moon_vision_challenge.webhooks import signing
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery

logger = logging.getLogger(__name__)

Status = WebhookDelivery.Status

# The pauses after failed attempts, in seconds, as Standard Webhooks recommends. One attempt follows the last pause.
RETRY_DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
DEADLINE_S = 15
"""The time limit of an attempt."""
_LEASE_S = 120  # longer than an attempt takes
_TURN_S = 30  # together with the last attempt, below Celery's time limit
ATTEMPTS_PER_HOST = 2
"""The limit on concurrent attempts in one process: a host that does not answer occupies at most this many threads."""
ATTEMPTS_PER_OWNER = 6
"""The same limit for an owner: two of the worker's eight threads remain for the other owners."""


@dataclass(frozen=True)
class Busy:
    """The hosts and owners that have no free slot."""

    hosts: Collection[str] = ()
    owners: Collection[Any] = ()


NOBODY = Busy()


class Slots:
    """Limits the concurrent attempts to one host and for one owner, in this process."""

    def __init__(self, per_host: int, per_owner: int) -> None:
        self._per_host = per_host
        self._per_owner = per_owner
        self._hosts: Counter[str] = Counter()
        self._owners: Counter[int | None] = Counter()
        self._lock = Lock()

    @property
    def busy(self) -> Busy:
        return Busy(
            [host for host, count in list(self._hosts.items()) if count >= self._per_host],
            [owner for owner, count in list(self._owners.items()) if count >= self._per_owner],
        )

    def claim(self) -> WebhookDelivery | None:
        """Claim the delivery that has been due longest and has a free slot. Call `release` afterwards."""
        with self._lock:  # no other thread may take the slot between the check and the claim
            delivery = claim_due(besides=self.busy)
            if delivery:
                self._hosts[delivery.host] += 1
                self._owners[delivery.owner_id] += 1
        return delivery

    def release(self, delivery: WebhookDelivery) -> None:
        with self._lock:
            self._hosts -= Counter([delivery.host])
            self._owners -= Counter([delivery.owner_id])


_slots = Slots(ATTEMPTS_PER_HOST, ATTEMPTS_PER_OWNER)


def is_due(*, besides: Busy = NOBODY) -> bool:
    return _due(besides).exists()


def claim_due(*, besides: Busy = NOBODY) -> WebhookDelivery | None:
    """Claim the delivery that has been due longest. Nothing else attempts it until its lease expires."""
    with transaction.atomic():
        delivery = _due(besides).select_for_update(skip_locked=True).order_by("next_attempt_at").first()
        if delivery:
            delivery.attempts += 1
            lease_end = Now() + timedelta(seconds=_LEASE_S)
            WebhookDelivery.objects.filter(pk=delivery.pk).update(attempts=delivery.attempts, next_attempt_at=lease_end)
    return delivery


def deliver_due(wake: Callable[[], None]) -> int:
    """Attempt the deliveries that are due, one after another, for one turn. Returns their number.

    2xx is success, 410 disables the URL, anything else is retried. Calls `wake` so that another thread helps while
    more deliveries are due, and so that the rest follow after the turn.
    """
    end = time.monotonic() + _TURN_S
    attempted = 0
    while delivery := _slots.claim():
        try:
            if attempted == 0 and is_due(besides=_slots.busy):
                wake()
            with log_context.about(
                request_id=delivery.request_id, inference_id=delivery.subject_id, traceparent=delivery.traceparent
            ):
                attempt = _attempt(delivery)
                _record(delivery, attempt)
                _log(delivery, attempt)
        finally:
            _slots.release(delivery)
        attempted += 1
        if time.monotonic() >= end:
            wake()
            break
    return attempted


def _due(besides: Busy) -> QuerySet[WebhookDelivery]:
    due = WebhookDelivery.objects.filter(status=Status.PENDING, next_attempt_at__lte=Now())
    due = due.exclude(host__in=besides.hosts) if besides.hosts else due
    return due.exclude(owner_id__in=besides.owners) if besides.owners else due


def _attempt(delivery: WebhookDelivery) -> dict[str, Any]:
    """Attempt a delivery. Returns an entry for its log."""
    begin = time.monotonic()
    status, error = None, ""
    with tracing.span("deliver webhook", Kind.CLIENT, server__address=delivery.host) as span:
        try:
            status = _post(delivery)
        except http_client.RequestFailedError as failure:
            error = str(failure)[:300]
        _describe(span, delivery, status)
    took_ms = round(1000 * (time.monotonic() - begin))
    return {"at": timezone.now().isoformat(), "status": status, "error": error, "ms": took_ms}


def _record(delivery: WebhookDelivery, attempt: dict[str, Any]) -> None:
    delivery.log = [*delivery.log, attempt]
    status = attempt["status"]
    next_attempt_at: Any = F("next_attempt_at")
    if status is not None and 200 <= status < 300:
        delivery.status = Status.DELIVERED
    elif status == 410:
        same: dict[str, Any] = {"owner_id": delivery.owner_id, "url": delivery.url}
        DisabledWebhook.objects.get_or_create(**same)
        WebhookDelivery.objects.filter(**same, status=Status.PENDING).update(status=Status.FAIL)
        delivery.status = Status.FAIL
    elif delivery.attempts > len(RETRY_DELAYS_S):
        delivery.status = Status.FAIL
    else:
        next_attempt_at = Now() + timedelta(seconds=RETRY_DELAYS_S[delivery.attempts - 1])
    # Not `save`, which raises an error if the row has been deleted in the meantime.
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        status=delivery.status, log=delivery.log, next_attempt_at=next_attempt_at
    )
    metrics.webhooks.labels(_result(delivery)).inc()


def _describe(span: Span, delivery: WebhookDelivery, status: int | None) -> None:
    if status is not None:
        span.note(http__request__method="POST", http__response__status_code=status)
    span.note(webhook__id=str(delivery.pk), webhook__attempt=delivery.attempts)
    if status is None or not 200 <= status < 300:
        span.fail(str(status or "no_response"))


def _result(delivery: WebhookDelivery) -> str:
    return "retry" if delivery.status == Status.PENDING else str(delivery.status)


def _log(delivery: WebhookDelivery, attempt: dict[str, Any]) -> None:
    result = _result(delivery)
    fields = {
        "event": "webhook",
        "result": result,
        "webhook_id": str(delivery.pk),
        "webhook_event": delivery.event,
        "attempt": delivery.attempts,
        "http_status": attempt["status"],
        "ms": attempt["ms"],
    }
    answer = attempt["status"] or attempt["error"]
    text = "webhook %s: %s at attempt %d, answered %s in %d ms"
    logger.info(text, delivery.pk, result, delivery.attempts, answer, attempt["ms"], extra=fields)


def _post(delivery: WebhookDelivery) -> int:
    """Send a delivery. Returns the status of the response, in which nothing else matters."""
    message_id, now = str(delivery.pk), timezone.now()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "moon-vision-challenge",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signing.signature(
            owner_id=delivery.owner_id, message_id=message_id, at=now, body=delivery.body
        ),
    }
    if traceparent := log_context.current().traceparent:
        headers["traceparent"] = traceparent
    status, _ = http_client.guarded_request(
        delivery.url,
        delivery.body.encode(),
        headers=headers,
        deadline_s=DEADLINE_S,
        max_body_bytes=0,
        allow_private=settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES,
    )
    return status
