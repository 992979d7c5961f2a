from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import worker
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.racing import race

URL = "/api/v1/inferences/"
STATUS = Inference.STATUS


@pytest.fixture
def inference() -> Inference:
    return Inference.objects.create(model_type="resnet", image="x.jpg")


class Clock:
    """A clock that advances only while the service sleeps. The rows become final during its third sleep."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sleeps_s: list[float] = []
        self.is_anybody_at_work = False

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s
        self.sleeps_s.append(duration_s)
        if self.is_anybody_at_work and len(self.sleeps_s) == 3:
            race(self._finish, 1)  # over another connection, as a worker does

    def _finish(self, _: int) -> None:
        Inference.objects.update(status=STATUS.DONE, label="tabby", finished_at=timezone.now())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(services, "time", clock)
    return clock


def get(client: APIClient, inference: Inference, **headers: str) -> Any:
    return client.get(f"{URL}{inference.pk}/", headers=headers)


@pytest.mark.django_db(transaction=True)
def test_get_waits_until_the_row_is_final(client: APIClient, inference: Inference, clock: Clock) -> None:
    clock.is_anybody_at_work = True
    response = get(client, inference, Prefer="wait=20")
    assert len(clock.sleeps_s) == 3
    assert (response.json()["status"], response.json()["label"]) == ("done", "tabby")
    assert response["Preference-Applied"] == "wait=20"


@pytest.mark.django_db(transaction=True)
def test_post_waits_until_the_row_is_final(client: APIClient, jpeg: bytes, clock: Clock) -> None:
    clock.is_anybody_at_work = True
    body = {"model_type": "resnet", "image": pictures.upload(jpeg)}
    response = client.post(URL, body, headers={"Prefer": "respond-async, wait=20"})
    assert len(clock.sleeps_s) == 3
    assert (response.status_code, response.json()["status"]) == (201, "done")
    assert response["Preference-Applied"] == "wait=20"


@pytest.mark.django_db
def test_the_wait_is_capped_and_the_answer_says_so(
    client: APIClient, inference: Inference, settings: Settings, clock: Clock
) -> None:
    settings.INFERENCE_MAX_WAIT_S = 1
    response = get(client, inference, Prefer="wait=1000")
    assert 0.8 < sum(clock.sleeps_s) <= 1
    assert (response.json()["status"], response["Preference-Applied"]) == ("pending", "wait=1")


@pytest.mark.django_db
@pytest.mark.parametrize("prefer", ["wait=0", "wait=-1", "wait=x", "respond-async", "", "waiting=5", "wait"])
def test_an_invalid_wait_preference_is_answered_immediately(
    client: APIClient, inference: Inference, clock: Clock, prefer: str
) -> None:
    response = get(client, inference, Prefer=prefer)
    assert clock.sleeps_s == []
    assert not response.has_header("Preference-Applied")


@pytest.mark.django_db
def test_when_too_many_wait_the_next_is_answered_at_once(
    client: APIClient, inference: Inference, settings: Settings, clock: Clock
) -> None:
    with ExitStack() as others:
        for _ in range(settings.INFERENCE_MAX_WAITING_REQUESTS):
            assert others.enter_context(services._waiting_requests.place())
        response = get(client, inference, Prefer="wait=20")
        assert clock.sleeps_s == []
        assert (response.status_code, response.json()["status"]) == (200, "pending")
        assert not response.has_header("Preference-Applied")


@pytest.mark.django_db
def test_only_a_row_that_is_not_final_has_a_retry_after(client: APIClient, inference: Inference) -> None:
    response = get(client, inference)
    assert (response["Retry-After"], response.has_header("ETag")) == ("1", False)
    Inference.objects.update(status=STATUS.DONE, finished_at=timezone.now())
    response = get(client, inference)
    assert (response.has_header("Retry-After"), response.has_header("ETag")) == (False, True)


@pytest.mark.django_db
def test_a_final_row_that_the_client_has_is_304(client: APIClient, inference: Inference) -> None:
    Inference.objects.update(status=STATUS.DONE, finished_at=timezone.now())
    etag = get(client, inference)["ETag"]
    for sent in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response = get(client, inference, **{"If-None-Match": sent})
        assert (response.status_code, response.content, response["ETag"]) == (304, b"", etag)
    assert get(client, inference, **{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.django_db
def test_a_waiting_row_is_canceled_and_never_claimed(client: APIClient, inference: Inference) -> None:
    for _ in range(2):  # the second time changes nothing
        response = client.post(f"{URL}{inference.pk}/cancel/")
        assert (response.status_code, response.json()["status"]) == (200, "canceled")
        assert response.json()["finished_at"]
    assert worker.claim_batch(queue="inferences") == []


@pytest.mark.django_db
@pytest.mark.parametrize("status", [STATUS.PROCESSING, STATUS.DONE, STATUS.FAIL])
def test_a_row_that_waits_no_more_cannot_be_canceled(
    client: APIClient, inference: Inference, status: Inference.STATUS
) -> None:
    Inference.objects.update(status=status)
    response = client.post(f"{URL}{inference.pk}/cancel/")
    assert (response.status_code, response.json()["code"]) == (409, "not_pending")
    inference.refresh_from_db()
    assert inference.status == status


@pytest.mark.django_db
def test_the_end_of_a_canceled_row_is_by_the_clock_of_the_database(
    inference: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    finished_at = services.cancel_inference(inference_id=inference.pk, actor="test").finished_at
    inference.refresh_from_db()
    assert finished_at == inference.finished_at
    assert finished_at is not None
    assert inference.created_at <= finished_at < ahead - timedelta(minutes=30)


@pytest.mark.django_db
def test_what_is_not_there_cannot_be_canceled(client: APIClient) -> None:
    assert client.post(f"{URL}404/cancel/").status_code == 404
