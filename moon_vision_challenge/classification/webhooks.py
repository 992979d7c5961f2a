"""Tells a consumer's server when an inference is final, signed as https://www.standardwebhooks.com describes.

A delivery is a row, written together with the end of the inference: it is lost no more than the inference is.
"""

import ipaddress
import json
import logging
import socket
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import certifi
import urllib3
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook

from moon_vision_challenge.classification.models import DisabledWebhook, Inference, WebhookDelivery

logger = logging.getLogger(__name__)

STATUS = WebhookDelivery.STATUS

# The pauses that Standard Webhooks recommends after each failed attempt, in seconds; after the last one it gives up.
RETRY_DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
_TIMEOUT = urllib3.Timeout(connect=5, read=10)  # seconds
_LEASE_S = 120  # longer than a claim of CLAIM_SIZE takes
CLAIM_SIZE = 4


class UnacceptableWebhookURLError(Exception):
    """Its text is for who gave the URL."""


def check_url(url: str) -> None:
    """Refuse a URL that could never be delivered to. Raises UnacceptableWebhookURLError."""
    if not settings.WEBHOOK_SECRET:
        raise UnacceptableWebhookURLError("Webhooks are not set up on this service.")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise UnacceptableWebhookURLError("The URL must begin with https:// or http://.")
    if parts.username or parts.password:
        raise UnacceptableWebhookURLError("The URL may hold no user name or password.")
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return  # a name: it is resolved when it is delivered
    _check_address(address)


def announce(inferences: Sequence[Inference]) -> None:
    """Write a delivery for every final row that has a webhook URL. Call it in the transaction that makes them final."""
    final = [inference for inference in inferences if inference.webhook_url and inference.is_final]
    if not final:
        return
    urls = {inference.webhook_url for inference in final}
    disabled = set(DisabledWebhook.objects.filter(url__in=urls).values_list("url", flat=True))
    now = timezone.now()
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            inference=inference,
            url=inference.webhook_url,
            event=f"inference.{inference.status}",
            body=_body(inference, now),
        )
        for inference in final
        if inference.webhook_url not in disabled
    )


def is_due() -> bool:
    return WebhookDelivery.objects.filter(status=STATUS.PENDING, next_attempt_at__lte=Now()).exists()


def claim_due() -> list[WebhookDelivery]:
    """Claim deliveries whose time has come. Until the claim is over nobody else tries them."""
    due = (
        WebhookDelivery.objects.select_for_update(skip_locked=True)
        .filter(status=STATUS.PENDING, next_attempt_at__lte=Now())
        .order_by("next_attempt_at")[:CLAIM_SIZE]
    )
    deliveries = list(due)
    WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).update(
        attempts=F("attempts") + 1, next_attempt_at=Now() + timedelta(seconds=_LEASE_S)
    )
    for delivery in deliveries:
        delivery.attempts += 1
    return deliveries


def deliver(delivery: WebhookDelivery) -> None:
    """Try once, and write what became of it: 2xx is success, 410 disables the URL, anything else is tried again."""
    begin = time.monotonic()
    status, error = None, ""
    try:
        status = _post(delivery)
    except (OSError, urllib3.exceptions.HTTPError, UnacceptableWebhookURLError) as problem:
        error = f"{type(problem).__name__}: {problem}"[:300]
    delivery.log = [
        *delivery.log,
        {
            "at": timezone.now().isoformat(),
            "status": status,
            "error": error,
            "ms": round(1000 * (time.monotonic() - begin)),
        },
    ]
    if status is not None and 200 <= status < 300:
        delivery.status = STATUS.DELIVERED
    elif status == 410:
        DisabledWebhook.objects.get_or_create(url=delivery.url)
        WebhookDelivery.objects.filter(url=delivery.url, status=STATUS.PENDING).update(status=STATUS.FAIL)
        delivery.status = STATUS.FAIL
    elif delivery.attempts > len(RETRY_DELAYS_S):
        delivery.status = STATUS.FAIL
    else:
        delivery.next_attempt_at = timezone.now() + timedelta(seconds=RETRY_DELAYS_S[delivery.attempts - 1])
    delivery.save(update_fields=["status", "log", "next_attempt_at"])
    logger.info("webhook %s of inference %d: %s %s", delivery.pk, delivery.inference_id, status, error)


def _body(inference: Inference, now: datetime) -> str:
    data = {
        "id": inference.pk,
        "model_type": inference.model_type,
        "label": inference.label,
        "status": str(inference.status),
        "error": inference.error,
    }
    return json.dumps({"type": f"inference.{inference.status}", "timestamp": now.isoformat(), "data": data})


def _post(delivery: WebhookDelivery) -> int:
    """POST to the address that was checked, and no other: not what the name resolves to later, nor a redirect's."""
    parts = urlsplit(delivery.url)
    hostname = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _resolve(hostname, port)
    message_id, now = str(delivery.pk), timezone.now()
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "moon-vision-challenge",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(settings.WEBHOOK_SECRET).sign(message_id, now, delivery.body),
    }
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address,
            port,
            timeout=_TIMEOUT,
            ca_certs=certifi.where(),
            server_hostname=hostname,
            assert_hostname=hostname,
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=_TIMEOUT)
    with pool:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        response = pool.urlopen(
            "POST",
            target,
            body=delivery.body.encode(),
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,  # the answer's body is nobody's concern, and could be endless
        )
        response.close()
        return response.status


def _resolve(hostname: str, port: int) -> str:
    """An address of this name; all of them must be public, or the receiver could choose which one we try."""
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        _check_address(ipaddress.ip_address(address))
    return addresses[0]


def _check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None) or address
    if not settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES and (not mapped.is_global or mapped.is_multicast):
        raise UnacceptableWebhookURLError("The URL leads to an address that is not public.")
