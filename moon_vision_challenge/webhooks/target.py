"""Checks the URL of a webhook."""

from django.conf import settings

from moon_vision_challenge import http_client
from moon_vision_challenge.webhooks import signing


class UnacceptableWebhookURLError(Exception):
    """The URL is not accepted. The text is for the client that gave it."""


def check_url(url: str, *, owner_id: int) -> None:
    """Refuse a URL that could never receive a delivery. Raises UnacceptableWebhookURLError."""
    if not signing.has_secret(owner_id):
        raise UnacceptableWebhookURLError("Webhooks are not set up on this service.")
    try:
        http_client.check_url(url, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES)
    except http_client.RefusedURLError as error:
        raise UnacceptableWebhookURLError(str(error)) from error
