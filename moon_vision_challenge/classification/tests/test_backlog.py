from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import backlog
from moon_vision_challenge.classification.tests import pictures

pytestmark = pytest.mark.django_db

URL = "/api/v1/inferences/"


@pytest.fixture(autouse=True)
def fresh_count(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(backlog, "_waiting_count", backlog.WaitingCount())
    settings.INFERENCE_MAX_PENDING = 20


def rows(count: int, **values: Any) -> None:
    Inference.objects.bulk_create(Inference(model_type="resnet", image="x.jpg", **values) for _ in range(count))


def post(client: APIClient, data: bytes) -> Any:
    return client.post(URL, {"model_type": "resnet", "image": pictures.upload(data)})


def test_below_the_limit_a_post_is_accepted(client: APIClient, jpeg: bytes) -> None:
    rows(19)
    assert post(client, jpeg).status_code == 201


def test_at_the_limit_a_post_is_503_with_the_time_in_which_a_tenth_is_worked_off(
    client: APIClient, jpeg: bytes
) -> None:
    rows(20)
    rows(6, status="done", finished_at=timezone.now())  # 6 in the last minute: 0.1 a second
    response = post(client, jpeg)
    assert (response.status_code, response.json()["code"]) == (503, "queue_full")
    assert response["Retry-After"] == "20"  # 2 of 20, at 0.1 a second
    assert Inference.objects.filter(status="pending").count() == 20


def test_when_nothing_moves_the_pause_is_a_minute(client: APIClient, jpeg: bytes) -> None:
    rows(20)
    rows(6, status="done", finished_at=timezone.now() - timedelta(hours=1))
    assert post(client, jpeg)["Retry-After"] == "60"


def test_finished_rows_do_not_count(client: APIClient, jpeg: bytes) -> None:
    rows(50, status="done", finished_at=timezone.now())
    assert post(client, jpeg).status_code == 201


def test_the_count_is_a_second_old_at_most_and_asked_once(
    client: APIClient, jpeg: bytes, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backlog._FRESH_S == 1
    monkeypatch.setattr(backlog, "_FRESH_S", 3600)  # the two requests may take longer than a second
    with django_assert_num_queries(3):  # count; insert twice
        post(client, jpeg)
        post(client, jpeg)
