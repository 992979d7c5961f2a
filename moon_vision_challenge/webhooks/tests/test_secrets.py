import base64
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook, WebhookVerificationError

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.webhooks import delivery, outbox, signing
from moon_vision_challenge.webhooks.delivery import Slots
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery, WebhookSecret
from moon_vision_challenge.webhooks.target import UnacceptableWebhookURLError, check_url

pytestmark = pytest.mark.django_db

GLOBAL = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture(autouse=True)
def _global_secret(settings: Settings) -> None:
    settings.WEBHOOK_SECRET = GLOBAL


@pytest.fixture
def alice() -> Owner:
    return Owner.objects.create(name="alice")


def rotate(owner: Owner, **options: Any) -> str:
    return signing.rotate_secret(owner, actor="test", **options).secret


def is_signed_with(secret: str, owner_id: int) -> bool:
    now = timezone.now()
    signature = signing.signature(owner_id=owner_id, message_id="m", at=now, body="{}")
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    try:
        Webhook(secret).verify("{}", headers)
    except WebhookVerificationError:
        return False
    return True


def test_an_owner_without_a_secret_signs_with_the_global_one(alice: Owner) -> None:
    assert is_signed_with(GLOBAL, alice.pk)


def test_after_a_rotation_both_are_valid_and_then_only_the_new_one(alice: Owner) -> None:
    first = rotate(alice)
    assert is_signed_with(GLOBAL, alice.pk)
    assert is_signed_with(first, alice.pk)
    WebhookSecret.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    assert not is_signed_with(GLOBAL, alice.pk)
    assert is_signed_with(first, alice.pk)


def test_at_most_two_are_valid(alice: Owner) -> None:
    secrets = [GLOBAL, *(rotate(alice) for _ in range(3))]
    assert [is_signed_with(secret, alice.pk) for secret in secrets] == [False, False, True, True]


def test_a_rotation_without_overlap_ends_the_earlier_one_now(alice: Owner) -> None:
    new = rotate(alice, overlap=timedelta(0))
    assert (is_signed_with(GLOBAL, alice.pk), is_signed_with(new, alice.pk)) == (False, True)


def test_a_secret_is_its_owners_only(alice: Owner) -> None:
    secret = rotate(alice)
    bob = Owner.objects.create(name="bob")
    assert not is_signed_with(secret, bob.pk)
    assert not is_signed_with(secret, ANONYMOUS_OWNER_ID)


def test_without_a_global_secret_only_an_owner_with_one_has_webhooks(alice: Owner, settings: Settings) -> None:
    settings.WEBHOOK_SECRET = ""
    rotate(alice)
    check_url("https://example.com/", owner_id=alice.pk)
    with pytest.raises(UnacceptableWebhookURLError):
        check_url("https://example.com/", owner_id=ANONYMOUS_OWNER_ID)


def announce(owner: Owner, url: str) -> None:
    outbox.announce([outbox.Event(url, "inference.done", 1, {}, owner.pk)])


def test_a_url_that_is_gone_is_disabled_for_its_owner_only(alice: Owner) -> None:
    bob = Owner.objects.create(name="bob")
    for owner in (alice, bob):
        announce(owner, "https://example.com/")
    alices = WebhookDelivery.objects.get(owner=alice)
    delivery._record(alices, {"status": 410, "error": ""})
    assert DisabledWebhook.objects.get().owner == alice
    assert WebhookDelivery.objects.get(owner=bob).status == "pending"
    for owner in (alice, bob):
        announce(owner, "https://example.com/")
    assert [WebhookDelivery.objects.filter(owner=owner).count() for owner in (alice, bob)] == [1, 2]


def test_an_owner_with_many_slow_hosts_leaves_room_for_the_others(alice: Owner) -> None:
    bob = Owner.objects.create(name="bob")
    for number in range(5):
        announce(alice, f"https://slow{number}.example/")
    announce(bob, "https://quick.example/")
    slots = Slots(per_host=2, per_owner=3)
    claimed = [slots.claim() for _ in range(5)]
    assert [one.owner_id if one else None for one in claimed] == [alice.pk] * 3 + [bob.pk, None]
    assert claimed[0]
    slots.release(claimed[0])
    last = slots.claim()
    assert last
    assert last.owner_id == alice.pk
