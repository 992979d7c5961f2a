"""How jobs continue and end: canceled, deleted, lost, announced. The tests perform the workers' steps one by one."""

import io
import json
import os
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_django import Settings

from moon_vision_challenge.classification.media_store.folder import FolderStore
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.jobs import services, unpacking
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.tests.packing import zip_of
from moon_vision_challenge.jobs.tests.running import MODEL, URL, Jobs, created, stored_images, uploads
from moon_vision_challenge.webhooks.models import WebhookDelivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_canceled_job_unpacks_and_classifies_no_more(
    jobs: Jobs, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK_ROWS", 2)
    monkeypatch.setattr(unpacking, "TURN_S", 0.0)
    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg for number in range(5)})))
    monkeypatch.setattr(unpacking, "TURN_S", 1e-9)
    job.refresh_from_db()
    response = jobs.client.post(f"{URL}{job.pk}/cancel/")
    assert (response.status_code, response.json()["status"]) == (200, "canceling")
    jobs.advance(job.pk)
    shown = jobs.client.post(f"{URL}{job.pk}/cancel/").json()
    assert (shown["status"], shown["counts"]["canceled"]) == ("canceled", 5)
    assert uploads() == []


def test_rows_of_a_canceled_job_that_a_worker_has_are_finished(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg for number in range(40)})))
    jobs.advance(job.pk)
    from moon_vision_challenge.classification.queue import claims, worker
    from moon_vision_challenge.classification.queue.claims import AttemptOutcome
    from moon_vision_challenge.jobs.tests.running import announce

    batch = worker.claim_batch(queue="inferences", limit=8)
    jobs.client.post(f"{URL}{job.pk}/cancel/")
    jobs.advance(job.pk)
    assert jobs.get(job.pk)["status"] == "canceling"
    outcomes = [AttemptOutcome(row, Inference.STATUS.DONE, "tabby") for row in batch]
    claims.end_attempts(outcomes)
    announce(outcomes)
    shown = jobs.get(job.pk)
    assert (shown["status"], shown["counts"]["done"], shown["counts"]["canceled"]) == ("canceled", 8, 32)


def test_a_job_that_has_ended_cannot_be_canceled(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg})))
    jobs.advance(job.pk)
    jobs.drain()
    response = jobs.client.post(f"{URL}{job.pk}/cancel/")
    assert (response.status_code, response.json()["code"]) == (409, "not_running")


@pytest.mark.parametrize("is_unpacked", [True, False])
def test_a_deleted_job_leaves_nothing(jobs: Jobs, jpeg: bytes, is_unpacked: bool, settings: Settings) -> None:
    settings.WEBHOOK_SECRET = SECRET
    job = created(jobs.post(zip_of({"a.jpg": jpeg, "b.jpg": b"x"}), webhook_url="https://example.com/hook"))
    single = jobs.client.post("/api/v1/inferences/", {"model_type": MODEL, "image": io.BytesIO(jpeg)}).json()["id"]
    if is_unpacked:
        jobs.advance(job.pk)
        jobs.drain()
        assert WebhookDelivery.objects.get().event == "job.done"
    response = jobs.client.delete(f"{URL}{job.pk}/")
    assert (response.status_code, response.json()["status"]) == (202, "deleting")
    assert jobs.client.delete(f"{URL}{job.pk}/").status_code == 202
    jobs.advance(job.pk)
    assert jobs.client.get(f"{URL}{job.pk}/").status_code == 404
    assert list(Inference.objects.values_list("pk", flat=True)) == [single]
    assert (Job.objects.count(), WebhookDelivery.objects.count(), uploads(), stored_images()) == (0, 0, [], 1)


def test_deleting_an_inference_keeps_the_webhooks_of_the_job_with_the_same_number(
    jobs: Jobs, jpeg: bytes, settings: Settings
) -> None:
    settings.WEBHOOK_SECRET = SECRET
    job = created(jobs.post(zip_of({"a.jpg": jpeg}), webhook_url="https://example.com/hook"))
    jobs.advance(job.pk)
    jobs.drain()
    Inference.objects.filter(job_id=job.pk).update(id=job.pk)
    assert jobs.client.delete(f"/api/v1/inferences/{job.pk}/").status_code == 204
    assert WebhookDelivery.objects.count() == 1


def test_one_webhook_tells_the_end(jobs: Jobs, jpeg: bytes, settings: Settings) -> None:
    settings.WEBHOOK_SECRET = SECRET
    archive = zip_of({**{f"{number}.jpg": jpeg for number in range(70)}, "x": b"x"})
    job = created(jobs.post(archive, webhook_url="https://example.com/hook"))
    jobs.advance(job.pk)
    assert WebhookDelivery.objects.count() == 0
    jobs.drain()
    services.find_work()
    delivery = WebhookDelivery.objects.get()
    body = json.loads(delivery.body)
    assert (delivery.event, body["type"], body["data"]["id"]) == ("job.done", "job.done", job.pk)
    assert body["data"]["counts"] == {"pending": 0, "processing": 0, "done": 70, "fail": 1, "canceled": 0}


def test_a_job_whose_files_are_all_bad_is_done(jobs: Jobs) -> None:
    job = created(jobs.post(zip_of({"a": b"x", "b": b"y"})))
    jobs.advance(job.pk)
    assert jobs.get(job.pk)["status"] == "done"


def test_a_job_whose_upload_is_lost_fails(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg})))
    default_storage.delete(job.upload)
    jobs.advance(job.pk)
    shown = jobs.get(job.pk)
    assert (shown["status"], shown["error"]["code"], shown["counts"]["fail"]) == ("fail", "upload_lost", 1)


def test_an_old_job_is_deleted_with_its_rows(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg})))
    jobs.advance(job.pk)
    jobs.drain()
    from datetime import timedelta

    from django.utils import timezone

    old = timezone.now() - timedelta(days=django_settings.INFERENCE_RETENTION_DAYS, minutes=1)
    Inference.objects.update(finished_at=old)
    from moon_vision_challenge.classification.queue import retention

    assert retention.delete_old_inferences() == 0
    services.delete_old()
    assert services.find_work() == []
    Job.objects.update(finished_at=old)
    services.delete_old()
    assert services.find_work() == [job.pk]
    jobs.advance(job.pk)
    assert (Job.objects.count(), Inference.objects.count(), stored_images()) == (0, 0, 0)


def test_unpacking_goes_on_where_a_lost_worker_stopped(
    jobs: Jobs, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK_ROWS", 2)
    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg for number in range(5)})))
    insert = unpacking._insert
    inserted: list[list[Inference]] = []

    def die(job: Job, rows: list[Inference]) -> None:
        if inserted:
            raise KeyboardInterrupt
        insert(job, rows)
        inserted.append(rows)

    monkeypatch.setattr(unpacking, "_insert", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.advance(job.pk)
    monkeypatch.setattr(unpacking, "_insert", insert)
    assert (Inference.objects.count(), stored_images(), services.find_work()) == (2, 2, [])
    Job.objects.update(lease_expires_at="2020-01-01T00:00Z")
    assert services.find_work() == [job.pk]
    jobs.advance(job.pk)
    assert [row["name"] for row in jobs.results(job.pk)] == [f"{number}.jpg" for number in range(5)]


def test_uploads_of_no_job_are_deleted_when_they_are_old(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg})))
    default_storage.save("jobs/upload-left", ContentFile(b"x"))
    services.delete_old()
    assert len(uploads()) == 2
    for name in uploads():
        os.utime(default_storage.path(f"jobs/{name}"), (0, 0))
    services.delete_old()
    assert [f"jobs/{name}" for name in uploads()] == [job.upload]


def test_accepting_a_hundred_images_takes_few_statements(
    jobs: Jobs, jpeg: bytes, django_assert_max_num_queries: Any
) -> None:
    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg for number in range(300)})))
    with django_assert_max_num_queries(3 * 7 + 12):
        jobs.advance(job.pk)
    assert Inference.objects.count() == 300


def test_a_slow_store_ends_the_turn_within_a_chunk(jobs: Jobs, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred images that take a second each would outlast the lease every time."""
    now = 0.0

    def save(_: object, name: str, content: object) -> str:
        nonlocal now
        now += 1
        return name

    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg for number in range(50)})))
    monkeypatch.setattr(unpacking, "clock", lambda: now)
    monkeypatch.setattr(FolderStore, "_save", save)
    assert services.advance(job.pk, lambda _: None)
    assert Inference.objects.count() == unpacking.TURN_S
    assert services.advance(job.pk, lambda _: None)
    assert not services.advance(job.pk, lambda _: None)
    assert list(Inference.objects.order_by("position").values_list("position", flat=True)) == list(range(50))
