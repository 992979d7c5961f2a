"""Which process delivers, for how long, and how much to one host."""

import pytest
from pytest_django import Settings

from moon_vision_challenge.webhooks import delivery as webhook_delivery
from moon_vision_challenge.webhooks import tasks
from moon_vision_challenge.webhooks.delivery import Slots, claim_due, is_due
from moon_vision_challenge.webhooks.models import WebhookDelivery
from moon_vision_challenge.webhooks.tests.receiver import Receiver, final_inference

pytestmark = pytest.mark.django_db


def test_racing_deliverers_send_once(receiver: Receiver) -> None:
    final_inference(receiver.url)
    assert claim_due()
    assert claim_due() is None


def pending(host: str) -> WebhookDelivery:
    return WebhookDelivery.objects.create(subject_id=1, url=f"http://{host}/", host=host, event="x", body="{}")


def test_a_host_that_is_slow_holds_only_its_slots() -> None:
    for host in ("slow", "slow", "slow", "quick"):
        pending(host)
    slots = Slots(per_host=2, per_owner=8)
    claimed = [slots.claim() for _ in range(4)]
    assert [delivery.host if delivery else None for delivery in claimed] == ["slow", "slow", "quick", None]
    assert is_due()  # for another process
    assert not is_due(besides=slots.busy)
    assert claimed[0]
    slots.release(claimed[0])
    last = slots.claim()
    assert last
    assert last.host == "slow"


@pytest.mark.parametrize(
    "urls",
    [
        ["http://Consumer.example/a", "https://consumer.EXAMPLE.:8443/b?c", "http://%63onsumer.example/"],
        ["http://127.0.0.1/", "http://2130706433:8000/", "http://0x7f.1/"],
        ["http://b\u00fccher.example/", "http://xn--bcher-kva.example/"],
    ],
)
def test_the_spellings_of_a_host_share_its_slots(settings: Settings, urls: list[str]) -> None:
    for url in urls:
        final_inference(url)
    assert WebhookDelivery.objects.values("host").distinct().count() == 1


def test_one_message_wakes_a_second_thread_while_more_is_due(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[bool] = []
    monkeypatch.setattr(tasks, "deliver_soon", lambda: woken.append(True))
    for _ in range(3):
        final_inference(receiver.url)
    assert tasks.deliver() == 3
    assert len(woken) == 1


def test_a_turn_ends_and_a_message_has_the_rest_done(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[bool] = []
    monkeypatch.setattr(tasks, "deliver_soon", lambda: woken.append(True))
    monkeypatch.setattr(webhook_delivery, "_TURN_S", 0)
    for _ in range(2):
        final_inference(receiver.url)
    assert tasks.deliver() == 1
    assert len(woken) == 2
    assert tasks.deliver() == 1
