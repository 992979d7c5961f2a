"""Requests whose cost does not depend on a model, and the limits in their answers."""

from typing import Any

from rest_framework.test import APIClient

V0 = "/api/v0/inferences/"
V1 = "/api/v1/inferences/"


def post(client: APIClient, url: str = V0, **headers: Any) -> Any:
    """Send a request that the view refuses: its cost does not depend on a model."""
    return client.post(url, {}, format="json", **headers)


def fields(response: Any, name: str = "RateLimit") -> dict[str, dict[str, str]]:
    """Return the items of a structured list (RFC 9651), with their parameters."""
    items = [item.split(";") for item in response[name].split(", ")]
    return {first.strip('"'): dict(each.split("=") for each in rest) for first, *rest in items}
