"""Which URLs are accepted, and where a delivery connects to."""

from ipaddress import ip_address
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.http_client import guarded
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.webhooks.models import WebhookDelivery
from moon_vision_challenge.webhooks.target import check_url
from moon_vision_challenge.webhooks.tests.receiver import SECRET, Receiver, deliver_due, final_inference
from moon_vision_challenge.webhooks.tests.test_webhooks import STATUS

pytestmark = pytest.mark.django_db


def post(client: APIClient, data: bytes, url: str) -> Any:
    body = {"model_type": "resnet", "image": pictures.upload(data), "webhook_url": url}
    return client.post("/api/v1/inferences/", body)


def test_v1_takes_a_webhook_url_and_does_not_show_it(client: APIClient, jpeg: bytes, receiver: Receiver) -> None:
    response = post(client, jpeg, receiver.url)
    assert response.status_code == 201
    assert "webhook_url" not in response.json()
    assert Inference.objects.get().webhook_url == receiver.url


@pytest.mark.parametrize("form", [True, False])
def test_an_empty_webhook_url_asks_for_no_webhook(client: APIClient, jpeg: bytes, *, form: bool) -> None:
    image = pictures.upload(jpeg) if form else pictures.data_uri(jpeg)
    body = {"model_type": "resnet", "image": image, "webhook_url": ""}
    response = client.post("/api/v1/inferences/", body, format="multipart" if form else "json")
    assert response.status_code == 201
    assert Inference.objects.get().webhook_url == ""


PRIVATE = [
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://10.1.2.3/",
    "https://192.168.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:127.0.0.1]/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:1::1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:7f00:1]/",
    "http://[fec0::1]/",
]


BAD_PORTS = ["https://example.com:0/", "https://example.com:99999/"]


@pytest.mark.parametrize(
    "url",
    [*PRIVATE, "ftp://example.com/", "nonsense", "https://user:word@example.com/", "https://" + "x" * 2000, *BAD_PORTS],
)
def test_a_url_that_leads_nowhere_good_is_400_on_webhook_url(
    client: APIClient, jpeg: bytes, settings: Settings, url: str
) -> None:
    settings.WEBHOOK_SECRET = SECRET
    response = post(client, jpeg, url)
    assert (response.status_code, list(response.json())) == (400, ["webhook_url"])


def test_without_a_secret_there_are_no_webhooks(client: APIClient, jpeg: bytes, settings: Settings) -> None:
    settings.WEBHOOK_SECRET = ""
    response = post(client, jpeg, "https://example.com/")
    assert (response.status_code, response.json()) == (
        400,
        {"webhook_url": ["Webhooks are not set up on this service."]},
    )


def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_delivered(
    receiver: Receiver, settings: Settings, resolve: Resolve
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    dns = resolve(["127.0.0.1", "::1", "10.1.2.3"])
    final_inference(f"http://private.example:{receiver.server_port}/")
    delivery = deliver_due()
    assert "not public" in delivery.log[0]["error"]
    assert delivery.status == STATUS.PENDING  # the name may resolve elsewhere the next time
    assert receiver.received == []
    assert dns.lookups["private.example", 4] == 1


def test_a_name_that_becomes_private_after_the_check_is_refused(
    receiver: Receiver, settings: Settings, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    public = ip_address("127.0.0.1")  # for this test, which cannot listen on a public address
    monkeypatch.setattr(guarded, "is_public", lambda address: ip_address(address) == public)
    resolve(["127.0.0.1", "10.1.2.3"], ["::1", "127.0.0.2"])
    url = f"http://rebinding.example:{receiver.server_port}/"
    check_url(url, owner_id=0)
    final_inference(url)
    assert deliver_due().status == STATUS.DELIVERED
    assert receiver.received[0][0]["Host"] == f"rebinding.example:{receiver.server_port}"
    WebhookDelivery.objects.all().delete()
    final_inference(url)
    assert "not public" in deliver_due().log[0]["error"]
    assert len(receiver.received) == 1


def test_it_connects_to_the_address_that_was_checked(receiver: Receiver, resolve: Resolve) -> None:
    dns = resolve(["127.0.0.1"])
    final_inference(f"http://consumer.example:{receiver.server_port}/")
    assert deliver_due().status == STATUS.DELIVERED
    assert set(dns.lookups.elements()) == {("consumer.example", 4), ("consumer.example", 6)}
    assert dns.lookups.total() == 2  # one lookup: a second one could resolve elsewhere
    assert receiver.received[0][0]["Host"] == f"consumer.example:{receiver.server_port}"
