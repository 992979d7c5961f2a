from collections.abc import Callable

import pytest

from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.accounts.token_cache import tokens
from moon_vision_challenge.accounts.tokens import create_token
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.web.throttling import store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    still = Clock(1_000_000_000.0)
    monkeypatch.setattr(store, "clock", still)
    return still


@pytest.fixture
def make_token(db: None) -> Callable[[str, str], dict[str, str]]:
    def make(owner: str, name: str) -> dict[str, str]:
        row, _ = Owner.objects.get_or_create(name=owner)
        _, secret = create_token(owner=row, name=name, actor="test", scopes=[Scope.CLASSIFY, Scope.READ])
        return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}

    tokens.clear()
    return make
