import json
import logging
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store.folder import FolderStore
from moon_vision_challenge.classification.models import IdempotencyKey, Inference
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.rows import stored_files
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.webhooks import delivery, outbox
from moon_vision_challenge.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

URL = "/api/v1/inferences/"
STATUS = Inference.STATUS


@pytest.fixture
def created(client: APIClient, jpeg: bytes, settings: Settings, sent: list[int]) -> Inference:
    """A row with everything that a row can have."""
    settings.WEBHOOK_SECRET = "whsec_" + "A" * 32
    body = {"model_type": "resnet", "image": pictures.upload(jpeg), "webhook_url": "https://example.com/"}
    response = client.post(URL, body, headers={"Idempotency-Key": "k-1"})
    outbox.announce([outbox.Event("https://example.com/", "inference.done", response.json()["id"], {})])
    return Inference.objects.get(pk=response.json()["id"])


def delete(client: APIClient, inference: Inference) -> Any:
    return client.delete(f"{URL}{inference.pk}/")


def everything() -> tuple[int, int, int, int]:
    return (
        Inference.objects.count(),
        IdempotencyKey.objects.count(),
        WebhookDelivery.objects.count(),
        len(stored_files()),
    )


@pytest.mark.parametrize("status", ["pending", "done", "fail", "canceled"])
def test_everything_about_the_inference_is_gone(client: APIClient, created: Inference, status: str) -> None:
    assert everything() == (1, 1, 1, 1)
    Inference.objects.update(status=status)
    response = delete(client, created)
    assert (response.status_code, response.content) == (204, b"")
    assert everything() == (0, 0, 0, 0)
    assert delete(client, created).status_code == 404
    assert client.get(f"{URL}{created.pk}/").status_code == 404


def test_its_idempotency_key_is_free_again(client: APIClient, created: Inference, jpeg: bytes) -> None:
    delete(client, created)
    body = {"model_type": "inception", "image": pictures.upload(jpeg)}
    assert client.post(URL, body, headers={"Idempotency-Key": "k-1"}).status_code == 201


def test_what_a_worker_has_is_409_and_stays(client: APIClient, created: Inference) -> None:
    Inference.objects.update(status=STATUS.PROCESSING)
    response = delete(client, created)
    assert (response.status_code, response.json()["code"]) == (409, "in_progress")
    assert everything() == (1, 1, 1, 1)


def test_a_deleted_row_is_not_processed(client: APIClient, created: Inference, start_fake: StartFake) -> None:
    start_fake(fake.predicts(281))
    delete(client, created)
    assert batch.run(worker.claim_batch(queue=django_settings.INFERENCE_QUEUE)) == []


def test_a_file_that_is_gone_already_is_no_error(client: APIClient, created: Inference) -> None:
    Path(created.image.path).unlink()
    assert delete(client, created).status_code == 204


def test_while_the_store_is_away_it_is_503_and_nothing_is_deleted(client: APIClient, created: Inference) -> None:
    with patch.object(FolderStore, "delete", side_effect=StorageUnavailableError("away")):
        response = delete(client, created)
    assert (response.status_code, response.json()["code"]) == (503, "storage_unavailable")
    assert everything() == (1, 1, 1, 1)
    assert delete(client, created).status_code == 204


def test_while_the_database_fails_it_is_503_and_the_file_stays(client: APIClient, created: Inference) -> None:
    with patch.object(Inference, "delete", side_effect=OperationalError("away")):
        response = delete(client, created)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert everything() == (1, 1, 1, 1)


def test_a_webhook_that_is_on_its_way_ends_without_an_error(client: APIClient, created: Inference) -> None:
    claimed = delivery.claim_due()
    assert claimed
    delete(client, created)
    delivery._record(claimed, {"status": 204, "error": ""})
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize("call", [services.cancel_inference, services.delete_inference])
def test_a_row_that_goes_between_two_queries_is_404(client: APIClient, created: Inference, call: Any) -> None:
    def gone(**_: object) -> None:
        raise Inference.DoesNotExist

    with patch.object(services, call.__name__, gone):
        responses = [delete(client, created), client.post(f"{URL}{created.pk}/cancel/")]
    assert 404 in [response.status_code for response in responses]
    assert 500 not in [response.status_code for response in responses]


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_row_that_is_deleted_gets_404_at_once(client: APIClient) -> None:
    inference = Inference.objects.create(model_type="resnet")

    def delete_it() -> None:
        services.delete_inference(inference_id=inference.pk, actor="test")
        connection.close()

    timer = threading.Timer(0.3, delete_it)
    timer.start()
    response = client.get(f"{URL}{inference.pk}/", headers={"Prefer": "wait=30"})
    timer.join()
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_delete_it_once(created: Inference) -> None:
    start, statuses = threading.Barrier(10), []

    def work() -> None:
        client = APIClient(raise_request_exception=False)
        start.wait()
        try:
            statuses.append(delete(client, created).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204] + [404] * 9


def test_the_audit_log_says_who(client: APIClient, created: Inference, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    delete(client, created)
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
    assert line == {"action": "inference.delete", "actor": "anonymous", "inference_id": created.pk, "owner_id": 0}


def delete_in_admin(admin_client: Client, inference: Inference, *, as_action: bool) -> Any:
    if as_action:
        form = {"action": "delete_selected", "_selected_action": [inference.pk], "post": "yes"}
        return admin_client.post("/admin/classification/inference/", form, follow=True)
    return admin_client.post(f"/admin/classification/inference/{inference.pk}/delete/", {"post": "yes"}, follow=True)


@pytest.mark.parametrize("as_action", [False, True])
def test_the_admin_deletes_everything_too(admin_client: Client, created: Inference, *, as_action: bool) -> None:
    delete_in_admin(admin_client, created, as_action=as_action)
    assert everything() == (0, 0, 0, 0)


@pytest.mark.parametrize("as_action", [False, True])
def test_the_admin_says_what_it_cannot_delete(admin_client: Client, created: Inference, *, as_action: bool) -> None:
    with patch.object(FolderStore, "delete", side_effect=StorageUnavailableError("away")):
        response = delete_in_admin(admin_client, created, as_action=as_action)
    assert "The image store is not available." in response.content.decode()
    assert everything() == (1, 1, 1, 1)
    Inference.objects.update(status=STATUS.PROCESSING)
    assert delete_in_admin(admin_client, created, as_action=as_action).status_code in {200, 403}
    assert everything() == (1, 1, 1, 1)
