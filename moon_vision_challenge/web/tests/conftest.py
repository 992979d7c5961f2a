from collections.abc import Callable, Iterator

import pytest

from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.accounts.token_cache import tokens
from moon_vision_challenge.accounts.tokens import create_token
from moon_vision_challenge.web.tests.limited import Clock
from moon_vision_challenge.web.throttling import store
from moon_vision_challenge.web.throttling.store import _redis_breaker


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    still = Clock()
    monkeypatch.setattr(store, "clock", still)
    yield still
    _redis_breaker.close()


@pytest.fixture
def make_token(db: None) -> Callable[[str, str], dict[str, str]]:
    def make(owner: str, name: str) -> dict[str, str]:
        row, _ = Owner.objects.get_or_create(name=owner)
        _, secret = create_token(owner=row, name=name, actor="test", scopes=[Scope.CLASSIFY, Scope.READ])
        return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}

    tokens.clear()
    return make
