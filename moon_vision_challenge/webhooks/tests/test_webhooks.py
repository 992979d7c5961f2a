import base64
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Event, Thread
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient
from standardwebhooks import Webhook

from moon_vision_challenge import http_client
from moon_vision_challenge.classification import events
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, sweep, worker
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.waiting import wait_for
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.webhooks import delivery as webhook_delivery
from moon_vision_challenge.webhooks import tasks
from moon_vision_challenge.webhooks.delivery import RETRY_DELAYS_S, Slots, claim_due, is_due
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery
from moon_vision_challenge.webhooks.target import check_url

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
STATUS = WebhookDelivery.Status


class Receiver(ThreadingHTTPServer):
    """A consumer's server, which answers as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.status = 204
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.stopping = Event()
        self.hung_up: list[OSError] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?tenant=7"


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/drip"):
            self._drip()
            return
        self.server.received.append((dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self) -> None:
        """An answer that never ends, and of which something comes before every timeout of a read."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            while not self.server.stopping.wait(0.05):
                self.wfile.write(b"x")
        except OSError as error:
            self.server.hung_up.append(error)

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
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


def final_inference(url: str, status: str = "done") -> Inference:
    inference = Inference.objects.create(
        model_type="resnet", image="x.jpg", webhook_url=url, status=status, label="tabby"
    )
    events.announce_final([inference])
    return inference


def deliver_due() -> WebhookDelivery:
    tasks.deliver()
    return WebhookDelivery.objects.get()


def test_a_delivery_is_signed_and_says_what_became_of_the_inference(receiver: Receiver) -> None:
    inference = final_inference(receiver.url)
    delivery = deliver_due()
    ((headers, body),) = receiver.received
    event = Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    assert event == json.loads(body)
    assert event["type"] == "inference.done"
    assert event["data"] == {
        "id": inference.pk,
        "model_type": "resnet",
        "label": "tabby",
        "status": "done",
        "error": None,
    }
    assert headers["webhook-id"] == str(delivery.pk)
    assert headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    assert (delivery.status, delivery.attempts, delivery.log[0]["status"]) == (STATUS.DELIVERED, 1, 204)


@pytest.mark.parametrize("status", [200, 299])
def test_only_2xx_is_success(receiver: Receiver, status: int) -> None:
    receiver.status = status
    final_inference(receiver.url)
    assert deliver_due().status == STATUS.DELIVERED


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_anything_else_is_tried_again_by_the_schedule(receiver: Receiver, status: int) -> None:
    receiver.status = status
    final_inference(receiver.url)
    for attempt, pause_s in enumerate(RETRY_DELAYS_S, start=1):
        delivery = deliver_due()
        assert (delivery.status, delivery.attempts, len(delivery.log)) == (STATUS.PENDING, attempt, attempt)
        assert abs(delivery.next_attempt_at - timezone.now() - timedelta(seconds=pause_s)) < timedelta(seconds=30)
        assert tasks.deliver() == 0  # not before its time
        WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert deliver_due().status == STATUS.FAIL
    assert len(receiver.received) == 10
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1


def test_410_disables_the_url(receiver: Receiver) -> None:
    receiver.status = 410
    final_inference(receiver.url)
    assert deliver_due().status == STATUS.FAIL
    assert DisabledWebhook.objects.get().url == receiver.url
    final_inference(receiver.url)
    assert WebhookDelivery.objects.count() == 1


def test_a_refused_connection_is_retried_and_logged(receiver: Receiver) -> None:
    final_inference("http://127.0.0.1:9/")
    delivery = deliver_due()
    assert (delivery.status, delivery.log[0]["status"]) == (STATUS.PENDING, None)
    assert "refused" in delivery.log[0]["error"]


def test_a_receiver_that_drips_is_given_up_at_the_deadline_and_delays_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(url: str, data: bytes, *, deadline_s: float, **options: Any) -> tuple[int, bytes]:
        assert deadline_s == webhook_delivery.DEADLINE_S
        return guarded_request(url, data, deadline_s=0.3 if "/drip" in url else 60, **options)

    guarded_request = http_client.guarded_request
    monkeypatch.setattr(http_client, "guarded_request", request)
    for number in range(3):
        final_inference(f"http://127.0.0.1:{receiver.server_port}/drip?{number}")
    final_inference(receiver.url)
    begin = time.monotonic()
    assert tasks.deliver() == 4
    assert time.monotonic() - begin < 30  # they drip for ever
    assert WebhookDelivery.objects.get(url=receiver.url).status == STATUS.DELIVERED
    for delivery in WebhookDelivery.objects.exclude(url=receiver.url):
        assert (delivery.status, delivery.log[0]["status"]) == (STATUS.PENDING, None)
        assert "0.3 s" in delivery.log[0]["error"]
    wait_for(lambda: len(receiver.hung_up) == 3, "the receiver to notice that nobody listens any more")


@pytest.mark.parametrize(
    "url",
    ["http://例え.テスト/", "http://" + "x" * 64 + ".example/", "http://[::1/", "http://127.0.0.1:99999/", "http:///"],
)
def test_an_unreachable_url_is_logged_like_any_failure(receiver: Receiver, url: str) -> None:
    final_inference(url)
    delivery = deliver_due()
    assert (delivery.status, delivery.attempts) == (STATUS.PENDING, 1)
    assert delivery.log[0]["error"]


def test_replay_from_the_admin_sends_the_same_event_again(receiver: Receiver, admin_client: Any) -> None:
    final_inference(receiver.url)
    delivery = deliver_due()
    url = "/admin/webhooks/webhookdelivery/"
    response = admin_client.post(url, {"action": "send_again", "_selected_action": [str(delivery.pk)]})
    assert response.status_code == 302
    assert deliver_due().status == STATUS.DELIVERED
    assert len({body for _, body in receiver.received}) == 1
    assert len(receiver.received) == 2


def test_racing_deliverers_send_once(receiver: Receiver) -> None:
    final_inference(receiver.url)
    assert claim_due()
    assert claim_due() is None


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_row_that_is_not_final_is_not_announced(receiver: Receiver, status: str) -> None:
    final_inference(receiver.url, status)
    assert not WebhookDelivery.objects.exists()


def test_the_end_of_an_attempt_and_its_delivery_are_written_together(receiver: Receiver) -> None:
    Inference.objects.create(model_type="gone", image="x.jpg", webhook_url=receiver.url)
    (outcome,) = batch.run(worker.claim_batch(queue="inferences"))
    assert isinstance(outcome, AttemptOutcome)
    assert WebhookDelivery.objects.get().event == "inference.fail"


def test_cancel_and_lost_workers_are_announced_too(receiver: Receiver, client: APIClient) -> None:
    canceled = Inference.objects.create(model_type="resnet", image="x.jpg", webhook_url=receiver.url)
    client.post(f"/api/v1/inferences/{canceled.pk}/cancel/")
    Inference.objects.create(
        model_type="resnet",
        image="x.jpg",
        webhook_url=receiver.url,
        status="processing",
        attempts=99,
        lease_expires_at=timezone.now() - timedelta(seconds=1),
    )
    sweep.free_lost_inferences()
    assert list(WebhookDelivery.objects.order_by("created_at").values_list("event", flat=True)) == [
        "inference.canceled",
        "inference.fail",
    ]


def post(client: APIClient, data: bytes, url: str) -> Any:
    body = {"model_type": "resnet", "image": pictures.upload(data), "webhook_url": url}
    return client.post("/api/v1/inferences/", body)


def test_v1_takes_a_webhook_url_and_does_not_show_it(client: APIClient, jpeg: bytes, receiver: Receiver) -> None:
    response = post(client, jpeg, receiver.url)
    assert response.status_code == 201
    assert "webhook_url" not in response.json()
    assert Inference.objects.get().webhook_url == receiver.url


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
    assert delivery.status == STATUS.PENDING  # the name may lead elsewhere the next time
    assert receiver.received == []
    assert dns.lookups["private.example", 4] == 1


def test_a_name_that_becomes_private_after_the_check_is_refused(
    receiver: Receiver, settings: Settings, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    public = ip_address("127.0.0.1")  # for this test, which cannot listen on a public address
    monkeypatch.setattr(http_client, "is_public", lambda address: ip_address(address) == public)
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
    assert dns.lookups.total() == 2  # one lookup: a second one could lead elsewhere
    assert receiver.received[0][0]["Host"] == f"consumer.example:{receiver.server_port}"


def test_deliveries_past_their_time_are_deleted_unless_they_wait() -> None:
    long_ago = timezone.now() - timedelta(days=31)
    for status, created_at in (("delivered", long_ago), ("pending", long_ago), ("delivered", timezone.now())):
        WebhookDelivery.objects.create(
            subject_id=1, url="https://example.com/", event="x", body="{}", status=status, created_at=created_at
        )
    assert tasks.delete_old() == 1
    assert list(WebhookDelivery.objects.order_by("created_at").values_list("status", flat=True)) == [
        "pending",
        "delivered",
    ]


def test_a_message_that_an_older_release_sent_is_still_served(receiver: Receiver) -> None:
    final_inference(receiver.url)
    task = current_app.tasks["moon_vision_challenge.classification.tasks.deliver_webhooks"]
    assert task() == 1
    assert len(receiver.received) == 1


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
