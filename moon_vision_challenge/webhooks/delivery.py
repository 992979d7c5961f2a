"""Delivers webhooks, signed as https://www.standardwebhooks.com describes."""

import http.client
import ipaddress
import logging
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Timer
from typing import Any

import certifi
import urllib3
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook

from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery
from moon_vision_challenge.webhooks.target import UnacceptableWebhookURLError, check_address

logger = logging.getLogger(__name__)

Status = WebhookDelivery.Status

# The pauses that Standard Webhooks recommends after each failed attempt, in seconds; after the last one it gives up.
RETRY_DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
DEADLINE_S = 15
"""An attempt is over by then."""
_TIMEOUT_S = 5  # to connect, and for every pause of the receiver
_LEASE_S = 120  # longer than an attempt and looking up a name take
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
    """An entry of the delivery's log."""
    begin = time.monotonic()
    status, error = None, ""
    try:
        status = _post(delivery)
    # ValueError: a name or a port that cannot be written into a request.
    except (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError) as problem:
        error = f"{type(problem).__name__}: {problem}"[:300]
    except UnacceptableWebhookURLError as refusal:
        error = str(refusal)
    took_s = time.monotonic() - begin
    if took_s >= DEADLINE_S:
        status, error = None, f"There was no whole answer within {DEADLINE_S} s."
    return {"at": timezone.now().isoformat(), "status": status, "error": error, "ms": round(1000 * took_s)}


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
    """POST to the address that was checked, and no other: not what the name resolves to later, nor a redirect's."""
    url = urllib3.util.parse_url(delivery.url)
    hostname = (url.host or "").strip("[]")
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _resolve(hostname, port)
    message_id, now = str(delivery.pk), timezone.now()
    headers = {
        "Host": url.netloc or "",
        "Content-Type": "application/json",
        "User-Agent": "moon-vision-challenge",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(settings.WEBHOOK_SECRET).sign(message_id, now, delivery.body),
    }
    connection = urllib3.connection.HTTPConnection(address, port, timeout=_TIMEOUT_S)
    if url.scheme == "https":
        connection = urllib3.connection.HTTPSConnection(
            address,
            port,
            timeout=_TIMEOUT_S,
            cert_reqs="CERT_REQUIRED",
            ca_certs=certifi.where(),
            server_hostname=hostname,
            assert_hostname=hostname,
        )

    def hang_up() -> None:
        if connection.sock:
            with suppress(OSError):  # it has just ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)

    # The socket's timeout starts again with every byte, and a receiver can send one every few seconds.
    deadline = Timer(DEADLINE_S, hang_up)
    deadline.start()
    try:
        # The answer's body is nobody's concern, and could be endless.
        connection.request("POST", url.request_uri, delivery.body.encode(), headers, preload_content=False)
        response = connection.getresponse()
        response.close()
        return response.status
    finally:
        deadline.cancel()
        connection.close()


def _resolve(hostname: str, port: int) -> str:
    """An address of this name; all of them must be public, or the receiver could choose which one we try."""
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        check_address(ipaddress.ip_address(address))
    return addresses[0]
