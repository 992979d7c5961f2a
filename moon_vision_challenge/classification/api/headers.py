"""Optional request headers."""

import hashlib
import re

from django.conf import settings
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from moon_vision_challenge.accounts.caller import caller_of
from moon_vision_challenge.classification.services import Idempotency
from moon_vision_challenge.web.client_address import client_address

_MAX_KEY_LENGTH = 255


def read_idempotency_key(request: Request) -> Idempotency | None:
    """Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), with or without the quotes of the draft.

    A key belongs to its owner. Anonymous callers at different addresses do not share keys.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not (0 < len(key) <= _MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise ValidationError({"Idempotency-Key": [f"Use 1 to {_MAX_KEY_LENGTH} printable ASCII characters."]})
    return Idempotency(_key_scope(request), key)


def _key_scope(request: Request) -> str:
    caller = caller_of(request)
    if not caller.is_anonymous:
        return f"owner:{caller.owner_id}"
    return hashlib.sha256(client_address(request.META).encode()).hexdigest()


def read_wait_s(request: Request) -> int | None:
    """The N of `Prefer: wait=N` (RFC 7240), at most INFERENCE_MAX_WAIT_S. Unknown preferences are ignored."""
    for preference in request.headers.get("Prefer", "").split(","):
        if match := re.fullmatch(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(;.*)?', preference, re.IGNORECASE):
            return min(int(match[1]), int(settings.INFERENCE_MAX_WAIT_S))
    return None
