"""The state of the queue, also with more rows than it counts."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import gauges
from moon_vision_challenge.classification.queue.gauges import QueueState, read_queue_states

pytestmark = pytest.mark.django_db


def add(count: int, **fields: object) -> list[Inference]:
    given = {"model_type": "resnet", "image": "x.jpg", "status": "pending", **fields}
    return Inference.objects.bulk_create(Inference(**given) for _ in range(count))


def test_each_model_has_its_state() -> None:
    add(3, created_at=Now() - timedelta(hours=1))
    add(2, model_type="inception", queue="slow")
    add(1, status="processing", lease_expires_at=Now() - timedelta(seconds=1))
    add(2, status="processing", model_type="alone", lease_expires_at=Now() + timedelta(hours=1))
    add(4, status="done", finished_at=Now())
    assert [state._replace(oldest_s=state.oldest_s // 60) for state in sorted(read_queue_states())] == [
        QueueState("inferences", "alone", 0, 2, 0, 0),
        QueueState("inferences", "resnet", 3, 1, 1, 60),
        QueueState("slow", "inception", 2, 0, 0, 0),
    ]


def test_no_more_rows_are_read_than_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "COUNTED", 100)
    add(1, turn=5, created_at=Now() - timedelta(hours=1))
    for turn in range(10, 60):
        add(20, turn=turn)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE classification_inference")
    (state,) = read_queue_states()
    assert (state.pending, state.oldest_s // 60) == (100, 60)
