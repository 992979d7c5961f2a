"""The RateLimit fields of responses: https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html."""

import functools

from django.http.response import HttpResponseBase

from moon_vision_challenge.web.throttling.store import Decision


def add_fields(response: HttpResponseBase, decision: Decision) -> None:
    """Add the headers that state the client's limits, and what is left of them."""
    policies = [
        _policy(each.bucket.name, each.bucket.quota, each.bucket.unit, each.bucket.window_s) for each in decision.states
    ]
    levels = [f'"{each.bucket.name}";r={each.remaining};t={each.full_in_s}' for each in decision.states]
    if decision.concurrency:
        limit = decision.concurrency.limit
        policies.append(f'"concurrent";q={limit};qu="concurrent-requests"')
        levels.append(f'"concurrent";r={max(0, limit - decision.in_progress)}')
    if policies:
        response["RateLimit-Policy"] = ", ".join(policies)
        response["RateLimit"] = ", ".join(levels)


@functools.lru_cache(maxsize=256)
def _policy(name: str, quota: int, unit: str, window_s: int) -> str:
    shown_unit = "" if unit == "requests" else f';qu="{unit}"'
    return f'"{name}";q={quota}{shown_unit};w={window_s}'
