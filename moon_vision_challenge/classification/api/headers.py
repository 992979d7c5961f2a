"""Reads optional request headers, and sets the response headers of the result cache."""

import hashlib
import re

from django.conf import settings
from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from moon_vision_challenge.accounts.caller import caller_of
from moon_vision_challenge.classification.reuse import NO_REUSE, Answer, Reuse
from moon_vision_challenge.classification.services import Idempotency
from moon_vision_challenge.web.client_address import client_address

_MAX_KEY_LENGTH = 255


def read_idempotency_key(request: Request) -> Idempotency | None:
    """Read Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), with or without the draft's quotes.

    A key belongs to its owner. Anonymous callers at different addresses do not share keys.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not (0 < len(key) <= _MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise ValidationError({"Idempotency-Key": [f"Use 1 to {_MAX_KEY_LENGTH} printable ASCII characters."]})
    return Idempotency(_scope(request), key)


def read_reuse(request: Request) -> Reuse:
    """Read what Cache-Control (RFC 9111) allows: no-store, no-cache, max-age. Other directives are ignored.

    Results belong to their owner, unless RESULT_CACHE_SHARED is set. Anonymous callers at different addresses do not
    share results: an answer from the cache would reveal to one of them what the other has sent.
    """
    if not settings.RESULT_CACHE_TTL_S:
        return NO_REUSE
    given = [each.strip().lower() for each in request.headers.get("Cache-Control", "").split(",")]
    if "no-store" in given:
        return NO_REUSE
    ages = [int(match[1]) for each in given if (match := re.fullmatch(r'max-age="?([0-9]{1,9})"?', each))]
    scope = "shared" if settings.RESULT_CACHE_SHARED else _scope(request)
    return Reuse(scope, may_read="no-cache" not in given, max_age_s=min(ages, default=None))


def tell_reuse(response: HttpResponse, answer: Answer) -> None:
    """Set Cache-Status (RFC 9211), and the Age of a result that was reused."""
    if answer.cache_status:
        response["Cache-Status"] = f"moon-vision; {answer.cache_status}"
    if answer.age_s is not None:
        response["Age"] = str(answer.age_s)


def _scope(request: Request) -> str:
    caller = caller_of(request)
    if not caller.is_anonymous:
        return f"owner:{caller.owner_id}"
    return hashlib.sha256(client_address(request.META).encode()).hexdigest()


def read_wait_s(request: Request) -> int | None:
    """Return the N of `Prefer: wait=N` (RFC 7240), at most INFERENCE_MAX_WAIT_S. Unknown preferences are ignored."""
    for preference in request.headers.get("Prefer", "").split(","):
        if match := re.fullmatch(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(;.*)?', preference, re.IGNORECASE):
            return min(int(match[1]), int(settings.INFERENCE_MAX_WAIT_S))
    return None
