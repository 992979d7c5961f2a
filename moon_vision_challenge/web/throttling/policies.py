"""Determines which limits apply to a request."""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from django.conf import settings

from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.accounts.rates import Rate
from moon_vision_challenge.web.throttling.store import Bucket, Concurrency


class Scope(StrEnum):
    """Requests that are counted together. Requests of one scope take nothing from another scope."""

    V0 = "v0"
    CREATE = "create"
    """Requests that store images."""
    READ = "read"
    """Everything else in the API."""
    MEDIA = "media"
    LOGIN = "login"


IMAGES, BYTES = "images", "content-bytes"


def buckets_of(
    scope: Scope, caller: Caller, address: str, *, images: int = 1, stored_bytes: int = 0, cost: int = 1
) -> list[Bucket]:
    """Return the buckets that a request takes from: `cost` requests and, if it creates rows, images and bytes."""
    found = list(_requests(scope, caller, address, cost))
    if scope is Scope.CREATE:
        found += quotas_of(caller, images=images, stored_bytes=stored_bytes)
    return found


def fetch_buckets(caller: Caller, address: str, *, cost: int = 1) -> list[Bucket]:
    """Return the buckets that a fetch for `image_url` takes from, in addition to those of its request."""
    whose, subject = ("address", address) if caller.is_anonymous else ("owner", f"{caller.owner_id}")
    return _buckets(f"fetch-{whose}", subject, settings.API_FETCH_RATE, cost)


def login_buckets(address: str, username: str) -> list[Bucket]:
    """Return the buckets of a login attempt, in addition to those of its address. A successful login refills them.

    The address is part of the subject, so that another person who knows a user's name cannot lock that user out.
    """
    name = unicodedata.normalize("NFKC", username).casefold().strip()
    subject = f"{address}:{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:32]}"
    return _buckets("login-name", subject, settings.API_LOGIN_NAME_RATE, cost=1)


def quotas_of(caller: Caller, *, images: int, stored_bytes: int) -> Iterator[Bucket]:
    """Yield the buckets for what an owner may store. Callers without a token share one owner."""
    owner = f"{caller.owner_id}"
    yield from _buckets("images-owner", owner, caller.rates.owner_images or settings.API_OWNER_IMAGES, images, IMAGES)
    yield from _buckets("bytes-owner", owner, caller.rates.owner_bytes or settings.API_OWNER_BYTES, stored_bytes, BYTES)


def concurrency_of(caller: Caller, address: str, *, looks_only: bool = False) -> Concurrency | None:
    if not settings.API_MAX_CONCURRENT_REQUESTS:
        return None
    subject = address if caller.is_anonymous else f"owner {caller.owner_id}"
    return Concurrency(subject, settings.API_MAX_CONCURRENT_REQUESTS, looks_only)


def _requests(scope: Scope, caller: Caller, address: str, cost: int) -> Iterable[Bucket]:
    if scope is Scope.LOGIN:
        return _buckets("login-address", address, settings.API_LOGIN_RATE, cost)
    is_read = scope in (Scope.READ, Scope.MEDIA)
    if caller.is_anonymous:
        rates = settings.API_ANON_READ_RATE if is_read else settings.API_ANON_RATE
        return _buckets(f"{scope}-address", address, rates, cost)
    rates = settings.API_TOKEN_READ_RATE if is_read else caller.rates.token or settings.API_TOKEN_RATE
    of_token = _buckets(f"{scope}-token", f"{caller.token_id}", rates, cost)
    if is_read:
        return of_token
    owner_rates = caller.rates.owner or settings.API_OWNER_RATE
    return [*of_token, *_buckets(f"{scope}-owner", f"{caller.owner_id}", owner_rates, cost)]


def _buckets(name: str, subject: str, rates: Sequence[Rate], cost: int, unit: str = "requests") -> list[Bucket]:
    return [Bucket(f"{name}-{window_s}s", subject, quota, window_s, cost, unit) for quota, window_s in rates]
