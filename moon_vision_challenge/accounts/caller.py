"""The caller of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from moon_vision_challenge.accounts.rates import NO_RATES, CallerRates

ANONYMOUS_OWNER_ID = 0
"""The owner of everything that is created without a token. No sequence generates this id."""


class Scope(StrEnum):
    """What a token allows."""

    CLASSIFY = "classify"
    """Classify images, and cancel or delete inferences."""
    READ = "read"
    """See the owner's inferences, and the models."""
    ADMIN_READ = "admin:read"
    """See the state of the service."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, and what they may do."""

    owner_id: int
    token_id: int | None
    """None for anonymous callers."""
    token_name: str
    scopes: frozenset[str]
    rates: CallerRates = NO_RATES

    @property
    def is_anonymous(self) -> bool:
        return self.token_id is None


ANONYMOUS = Caller(ANONYMOUS_OWNER_ID, None, "anonymous", frozenset({Scope.CLASSIFY, Scope.READ}))
_REFUSED_ANONYMOUS = Caller(ANONYMOUS_OWNER_ID, None, "anonymous", frozenset())


def anonymous() -> Caller:
    """Return the caller of a request without a token. It has no scopes unless API_ALLOW_ANONYMOUS is set."""
    return ANONYMOUS if settings.API_ALLOW_ANONYMOUS else _REFUSED_ANONYMOUS


def set_caller(request: HttpRequest, caller: Caller) -> None:
    request.caller = caller  # type: ignore[attr-defined]


def is_identified(request: HttpRequest) -> bool:
    """Return whether the answer depends on the caller."""
    return hasattr(request, "caller")


def caller_of(request: HttpRequest | Any) -> Caller:
    """Return the caller of a Django or DRF request. Without AccessMiddleware, it is anonymous."""
    found: Caller | None = getattr(getattr(request, "_request", request), "caller", None)
    return found or anonymous()
