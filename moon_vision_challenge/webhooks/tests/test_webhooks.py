import json
import time
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from rest_framework.test import APIClient
from standardwebhooks import Webhook

from moon_vision_challenge import http_client
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, sweep, worker
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.classification.tests.waiting import wait_for
from moon_vision_challenge.webhooks import delivery as webhook_delivery
from moon_vision_challenge.webhooks import tasks
from moon_vision_challenge.webhooks.delivery import RETRY_DELAYS_S
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery
from moon_vision_challenge.webhooks.tests.receiver import SECRET, Receiver, deliver_due, final_inference

pytestmark = pytest.mark.django_db

STATUS = WebhookDelivery.Status


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


@pytest.mark.parametrize("off_by", [timedelta(minutes=-10), timedelta(minutes=10)])
def test_the_next_attempt_is_by_the_clock_of_the_database(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, off_by: timedelta
) -> None:
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + off_by)
    receiver.status = 500
    final_inference(receiver.url)
    next_attempt_at = deliver_due().next_attempt_at
    assert abs(next_attempt_at - right() - timedelta(seconds=RETRY_DELAYS_S[0])) < timedelta(minutes=1)


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
    assert time.monotonic() - begin < 300  # they never stop dripping
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
