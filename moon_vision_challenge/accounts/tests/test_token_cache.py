from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from moon_vision_challenge.accounts import secret, token_cache, tokens
from moon_vision_challenge.accounts.errors import (
    AccessRefusedError,
    InvalidTokenError,
    TokensUnavailableError,
    TooManyUnknownTokensError,
)
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.tests.conftest import NewToken
from moon_vision_challenge.accounts.token_cache import LAST_USE_EVERY, LOOKUPS_PER_S, TokenCache
from moon_vision_challenge.tests.clock import Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> TokenCache:
    return TokenCache(clock)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that makes the database unavailable and returns a function that restores it."""

    def begin() -> Any:
        def fail(*_: object) -> None:
            raise OperationalError("the server closed the connection")

        patch = pytest.MonkeyPatch()
        patch.setattr(ApiToken.objects, "usable", fail, raising=False)
        patches.append(patch)
        return patch.undo

    patches: list[pytest.MonkeyPatch] = []
    yield begin
    for patch in patches:
        patch.undo()


def test_a_known_token_costs_no_query(cache: TokenCache, new_token: NewToken, django_assert_num_queries: Any) -> None:
    token, text = new_token(scopes=("read",))
    caller = cache.find_caller(text)
    assert (caller.owner_id, caller.token_id, caller.token_name) == (token.owner_id, token.pk, "ci")
    assert caller.scopes == {"read"}
    with django_assert_num_queries(0):
        assert cache.find_caller(text) is caller


def test_a_revocation_counts_after_the_cache_time(
    cache: TokenCache, clock: Clock, new_token: NewToken, settings: Settings
) -> None:
    token, text = new_token()
    cache.find_caller(text)
    tokens.revoke_token(token, actor="test")  # as another process does: this cache is not notified
    clock.now_s += settings.API_TOKEN_CACHE_S
    cache.find_caller(text)
    clock.now_s += 0.1
    with pytest.raises(InvalidTokenError):
        cache.find_caller(text)


def test_a_revocation_counts_at_once_in_its_own_process(new_token: NewToken) -> None:
    token, text = new_token()
    token_cache.tokens.find_caller(text)
    assert tokens.revoke_token(token, actor="test")
    assert not tokens.revoke_token(token, actor="test")
    with pytest.raises(InvalidTokenError):
        token_cache.tokens.find_caller(text)


def test_a_cached_token_expires_on_time(clock: Clock, new_token: NewToken) -> None:
    expires_at = timezone.now() + timedelta(days=1)
    times = iter([expires_at - timedelta(seconds=1), expires_at])
    cache = TokenCache(clock, now=lambda: next(times))
    text = new_token(expires_at=expires_at)[1]
    cache.find_caller(text)
    with pytest.raises(InvalidTokenError):
        cache.find_caller(text)


@pytest.mark.parametrize("case", ["inactive owner", "inactive user", "expired", "unknown"])
def test_a_token_that_is_not_usable_is_refused(cache: TokenCache, new_token: NewToken, case: str) -> None:
    token, text = new_token()
    match case:
        case "inactive owner":
            Owner.objects.filter(pk=token.owner_id).update(is_active=False)
        case "inactive user":
            user = User.objects.create(username="u", is_active=False)
            Owner.objects.filter(pk=token.owner_id).update(user=user)
        case "expired":
            ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        case _:
            text = secret.new_token()
    with pytest.raises(InvalidTokenError):
        cache.find_caller(text)


def test_a_refused_token_is_not_looked_up_again_at_once(
    cache: TokenCache, clock: Clock, settings: Settings, django_assert_num_queries: Any
) -> None:
    text = secret.new_token()
    for queries in (1, 0, 0):
        with django_assert_num_queries(queries), pytest.raises(InvalidTokenError):
            cache.find_caller(text)
    clock.now_s += settings.API_TOKEN_CACHE_S + 0.1
    with django_assert_num_queries(1), pytest.raises(InvalidTokenError):
        cache.find_caller(text)


def test_text_that_is_not_a_token_costs_no_query(cache: TokenCache, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        for text in ("", "x", secret.new_token()[:-1], secret.new_token() + "x"):
            with pytest.raises(InvalidTokenError):
                cache.find_caller(text)


def test_invented_tokens_are_bounded_in_queries_and_in_memory(
    cache: TokenCache, clock: Clock, new_token: NewToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_MAX_KEPT", 10)
    known = new_token()[1]
    cache.find_caller(known)
    outcomes = []
    for _ in range(LOOKUPS_PER_S + 50):
        try:
            cache.find_caller(secret.new_token())
        except AccessRefusedError as error:
            outcomes.append(type(error))
    assert outcomes.count(InvalidTokenError) == LOOKUPS_PER_S - 1
    assert outcomes[-1] is TooManyUnknownTokensError
    assert len(cache._refused) == 10
    cache.find_caller(known)  # known tokens are not affected
    clock.now_s += 0.5
    with pytest.raises(InvalidTokenError):
        cache.find_caller(secret.new_token())


def test_while_the_database_is_away_a_known_token_goes_on_for_a_bounded_time(
    cache: TokenCache, clock: Clock, new_token: NewToken, settings: Settings, outage: Any
) -> None:
    text = new_token()[1]
    caller = cache.find_caller(text)
    outage()
    clock.now_s += settings.API_TOKEN_OUTAGE_S
    assert cache.find_caller(text) == caller
    clock.now_s += 0.1
    with pytest.raises(TokensUnavailableError):
        cache.find_caller(text)


def test_while_the_database_is_away_an_unknown_token_is_503_and_not_refused_for_good(
    cache: TokenCache, new_token: NewToken, outage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = new_token()[1]
    end = outage()
    for _ in range(2):
        with pytest.raises(TokensUnavailableError):
            cache.find_caller(text)
    end()
    cache._breaker.close()
    cache.find_caller(text)


def test_the_last_use_is_written_at_most_every_few_minutes(
    cache: TokenCache, clock: Clock, new_token: NewToken, settings: Settings, django_assert_num_queries: Any
) -> None:
    token, text = new_token()
    with django_assert_num_queries(2):
        cache.find_caller(text)
    token.refresh_from_db()
    assert token.last_used_at
    clock.now_s += settings.API_TOKEN_CACHE_S + 0.1
    with django_assert_num_queries(1):
        cache.find_caller(text)
    ApiToken.objects.update(last_used_at=timezone.now() - LAST_USE_EVERY - timedelta(seconds=1))
    clock.now_s += settings.API_TOKEN_CACHE_S + 0.1
    with django_assert_num_queries(2):
        cache.find_caller(text)


def test_a_token_is_stored_as_its_digest_only(new_token: NewToken) -> None:
    token, text = new_token()
    stored = ApiToken.objects.values().get(pk=token.pk)
    assert text not in str(stored)
    assert stored["digest"] == secret.digest(text)
    assert text.startswith(stored["prefix"])
