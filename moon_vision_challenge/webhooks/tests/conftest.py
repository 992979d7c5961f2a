from collections.abc import Iterator
from threading import Thread

import pytest
from pytest_django import Settings

from moon_vision_challenge.webhooks import delivery
from moon_vision_challenge.webhooks.tests.receiver import SECRET, Receiver


@pytest.fixture
def receiver(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(delivery, "_TURN_S", 600)  # the machine may be slow
    settings.WEBHOOK_SECRET = SECRET
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    server = Receiver()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()
