from collections.abc import Iterator

import pytest
from pytest_django import Settings

from moon_vision_challenge.tests.serving import serving
from moon_vision_challenge.webhooks import delivery
from moon_vision_challenge.webhooks.tests.receiver import SECRET, Receiver


@pytest.fixture
def receiver(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(delivery, "_TURN_S", 600)  # the machine may be slow
    settings.WEBHOOK_SECRET = SECRET
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    with serving(Receiver()) as server:
        yield server
        server.stopping.set()
