"""Which URLs a webhook may have."""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings


class UnacceptableWebhookURLError(Exception):
    """Its text is for the client that gave the URL."""


def check_url(url: str) -> None:
    """Refuse a URL that could never be delivered to. Raises UnacceptableWebhookURLError."""
    if not settings.WEBHOOK_SECRET:
        raise UnacceptableWebhookURLError("Webhooks are not set up on this service.")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise UnacceptableWebhookURLError("The URL must begin with https:// or http://.")
    if parts.username or parts.password:
        raise UnacceptableWebhookURLError("The URL must not contain a user name or password.")
    try:
        if parts.port == 0:
            raise ValueError
    except ValueError as error:
        raise UnacceptableWebhookURLError("The URL's port must be a number from 1 to 65535.") from error
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return  # a name: it is resolved when it is delivered
    check_address(address)


def check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None) or address
    if not settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES and (not mapped.is_global or mapped.is_multicast):
        raise UnacceptableWebhookURLError("The URL leads to an address that is not public.")
