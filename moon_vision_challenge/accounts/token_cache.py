"""Finds the caller of a token, without a database query for each request."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Q
from django.utils import timezone

from moon_vision_challenge.accounts import secret
from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.accounts.errors import (
    InvalidTokenError,
    TokensUnavailableError,
    TooManyUnknownTokensError,
)
from moon_vision_challenge.accounts.models import ApiToken
from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError

logger = logging.getLogger(__name__)

LAST_USE_EVERY = timedelta(minutes=5)
"""`last_used_at` is at most this old while a token is in use."""
LOOKUPS_PER_S = 100
"""How many unknown tokens a process looks up per second. This limits what invented tokens cost the database."""
_MAX_KEPT = 10_000
"""How many tokens, and how many refused ones, a process keeps. About 5 MB."""


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime | None
    looked_up_at: float  # by the cache's clock


class TokenCache:
    """What a process knows about tokens, shared by its threads.

    After API_TOKEN_CACHE_S, one thread looks a token up again. Meanwhile, the others use what is known.
    While the database is unavailable, a known token stays valid until API_TOKEN_OUTAGE_S after its last look-up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by digest
        self._refused: OrderedDict[str, float] = OrderedDict()  # digest → time of refusal
        self._in_lookup: set[str] = set()
        self._budget = float(LOOKUPS_PER_S)
        self._budget_at = clock()
        self._breaker = CircuitBreaker(open_s=1, clock=clock)

    def find_caller(self, token: str) -> Caller:
        """Return the caller that a token identifies.

        Raises:
            InvalidTokenError: it is not a token, or it is unknown, expired, or revoked.
            TokensUnavailableError: the database does not answer, and this process does not know the token.
            TooManyUnknownTokensError: this process has looked up too many unknown tokens in the last second.
        """
        if not secret.is_well_formed(token):
            raise InvalidTokenError
        digest = secret.digest(token)
        known = self._known.get(digest)
        if known is None:
            known = self._look_up_first(digest)
        elif self._clock() - known.looked_up_at > settings.API_TOKEN_CACHE_S:
            known = self._look_up_again(digest, known)
        if known.expires_at and known.expires_at <= self._now():
            raise InvalidTokenError
        return known.caller

    def forget(self, digest: str) -> None:
        """Forget a token, so that its next use looks it up again."""
        with self._lock:
            self._known.pop(digest, None)
            self._refused.pop(digest, None)

    def clear(self) -> None:
        """Forget everything, and start with a full budget."""
        with self._lock:
            self._known.clear()
            self._refused.clear()
            self._budget = float(LOOKUPS_PER_S)
        self._breaker.close()

    def _look_up_first(self, digest: str) -> _Known:
        refused_at = self._refused.get(digest)
        if refused_at is not None and self._clock() - refused_at <= settings.API_TOKEN_CACHE_S:
            raise InvalidTokenError
        self._spend()
        try:
            return self._look_up(digest)
        except CircuitOpenError as error:
            raise TokensUnavailableError from error
        except DatabaseError as error:
            logger.warning("an API token cannot be looked up: %s", error)
            raise TokensUnavailableError from error

    def _look_up_again(self, digest: str, known: _Known) -> _Known:
        is_too_old = self._clock() - known.looked_up_at > settings.API_TOKEN_OUTAGE_S
        with self._lock:
            if digest in self._in_lookup and not is_too_old:
                return known
            self._in_lookup.add(digest)
        try:
            return self._look_up(digest)
        except (DatabaseError, CircuitOpenError) as error:
            if is_too_old:
                raise TokensUnavailableError from error
            if isinstance(error, DatabaseError):
                logger.warning("API tokens are accepted without a look-up: %s", error)
            return known
        finally:
            with self._lock:
                self._in_lookup.discard(digest)

    def _look_up(self, digest: str) -> _Known:
        begin = self._clock()
        with self._breaker.call(DatabaseError):
            token = ApiToken.objects.usable().select_related("owner").filter(digest=digest).first()
        if token is None:
            self._keep(self._refused, digest, begin)
            self._known.pop(digest, None)
            raise InvalidTokenError
        caller = Caller(token.owner_id, token.pk, token.name, frozenset(token.scopes), token.rates)
        known = _Known(caller, token.expires_at, begin)
        self._keep(self._known, digest, known)
        _note_use(token)
        return known

    def _keep(self, kept: "OrderedDict[str, Any]", digest: str, value: object) -> None:
        with self._lock:
            kept[digest] = value
            kept.move_to_end(digest)
            while len(kept) > _MAX_KEPT:
                kept.popitem(last=False)

    def _spend(self) -> None:
        """Take one look-up from the budget, which grows by LOOKUPS_PER_S up to one second's worth."""
        with self._lock:
            now = self._clock()
            self._budget = min(LOOKUPS_PER_S, self._budget + (now - self._budget_at) * LOOKUPS_PER_S)
            self._budget_at = now
            if self._budget < 1:
                raise TooManyUnknownTokensError
            self._budget -= 1


def _note_use(token: ApiToken) -> None:
    """Store the time of use, unless a process has done so recently."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - LAST_USE_EVERY:
        is_due = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - LAST_USE_EVERY)
        try:
            ApiToken.objects.filter(is_due, pk=token.pk).update(last_used_at=now)
        except DatabaseError as error:  # for example, a standby that accepts no writes
            logger.warning("the last use of an API token cannot be written: %s", error)


tokens = TokenCache()
"""The cache of this process."""
