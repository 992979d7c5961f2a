from collections.abc import Callable
from datetime import datetime

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.accounts import token_cache, tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import ApiToken, Owner

NewToken = Callable[..., tuple[ApiToken, str]]
ClientOf = Callable[[str], APIClient]


@pytest.fixture(autouse=True)
def _forget_tokens() -> None:
    token_cache.tokens.clear()


@pytest.fixture
def closed(settings: Settings) -> None:
    """Refuse callers without a token, as production does."""
    settings.API_ALLOW_ANONYMOUS = False


@pytest.fixture
def new_token(db: None) -> NewToken:
    """Make a token for an owner, with all scopes by default."""

    def make(
        owner: str = "alice",
        name: str = "ci",
        scopes: tuple[str, ...] = tuple(Scope),
        expires_at: datetime | None = None,
    ) -> tuple[ApiToken, str]:
        found, _ = Owner.objects.get_or_create(name=owner)
        return tokens.create_token(owner=found, name=name, scopes=scopes, expires_at=expires_at, actor="test")

    return make


@pytest.fixture
def client_of() -> ClientOf:
    """Make a client that sends a token."""

    def make(secret: str) -> APIClient:
        return APIClient(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})

    return make
