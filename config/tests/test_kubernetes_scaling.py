"""The queries by which KEDA scales workers: what they return, and that they stay cheap with a long backlog."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from config.tests.kubernetes import manifests
from moon_vision_challenge.classification.models import Inference, Outage
from moon_vision_challenge.classification.queue.turns import Lane
from moon_vision_challenge.classification.tests.plans import empty_tables
from moon_vision_challenge.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

PENDING, PROCESSING = Inference.STATUS.PENDING, Inference.STATUS.PROCESSING


# One row in ten is pending. The rows have the turns and times of rows that arrived one after the other.
FILL = """
INSERT INTO classification_inference
    (model_type, image, predictions, status, version_label, attempts, webhook_url, label, turn, available_at,
     created_at)
SELECT 'slow', 'x', '[]', CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'done' END, '', 0, '', '', n, made, made
FROM generate_series(1, 20000) AS n, LATERAL (SELECT now() - make_interval(secs => 20000 - n) AS made) AS time;
INSERT INTO webhooks_webhookdelivery
    (id, subject_id, url, event, body, status, attempts, log, next_attempt_at, created_at)
SELECT gen_random_uuid(), n, '', '', '', CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'delivered' END, 0, '[]', now(), now()
FROM generate_series(1, 20000) AS n
"""


def triggers(name: str) -> dict[str, dict[str, Any]]:
    """Return the triggers of a ScaledObject by their names."""
    (scaled,) = [
        one
        for one in manifests("ScaledObject")
        if one["metadata"]["name"] == name and one["spec"]["minReplicaCount"] > 1
    ]
    return {trigger["name"]: trigger for trigger in scaled["spec"]["triggers"]}


def query(name: str, trigger: str) -> str:
    sql: str = triggers(name)[trigger]["metadata"]["query"]
    return sql


def ask(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        ((answer,),) = cursor.fetchall()
        return int(answer)


def make(count: int = 1, **fields: Any) -> None:
    Inference.objects.bulk_create(
        Inference(model_type="slow", image="inferences/x.jpg", **fields) for _ in range(count)
    )


def test_rows_that_are_processed_count_because_their_pod_must_not_go() -> None:
    make(2, status=PENDING)
    make(3, status=PROCESSING)
    make(4, status=Inference.STATUS.DONE)
    make(5, status=PENDING, queue="other")
    assert ask(query("worker", "rows")) == 5


def test_rows_that_no_worker_could_claim_do_not_count() -> None:
    make(2, status=PENDING, available_at=timezone.now() + timedelta(minutes=5))
    make(3, status=PENDING)
    outage = Outage.objects.create(model_type="slow", until=timezone.now() + timedelta(minutes=1))
    assert (ask(query("worker", "rows")), ask(query("worker", "age"))) == (0, 0)
    outage.model_type = "another"
    outage.save()
    assert ask(query("worker", "rows")) == 3
    outage.model_type = ""  # the media store, which all rows need
    outage.save()
    assert ask(query("worker", "rows")) == 0


def test_the_age_is_that_of_the_single_row_that_is_next() -> None:
    assert ask(query("worker", "age")) == 0
    now = timezone.now()
    make(status=PENDING, turn=Lane.BULK, created_at=now - timedelta(hours=5))
    assert ask(query("worker", "age")) == 0
    make(status=PENDING, turn=7, created_at=now - timedelta(seconds=90))
    make(status=PENDING, turn=8, created_at=now - timedelta(seconds=30))
    assert 90 <= ask(query("worker", "age")) < 600


def test_an_age_is_not_divided_by_the_number_of_pods() -> None:
    assert {name: one["metricType"] for name, one in triggers("worker").items()} == {
        "rows": "AverageValue",
        "age": "Value",
    }


def test_deliveries_that_are_due_count() -> None:
    now = timezone.now()
    for minutes, status in ((-1, "pending"), (5, "pending"), (-1, "fail")):
        WebhookDelivery.objects.create(
            subject_id=1,
            url="https://example.com/",
            event="x",
            body="",
            status=status,
            next_attempt_at=now + timedelta(minutes=minutes),
        )
    assert ask(query("webhooks", "due")) == 1


@pytest.mark.parametrize(("scaled", "trigger"), [("worker", "rows"), ("worker", "age"), ("webhooks", "due")])
def test_a_query_reads_an_index_only(scaled: str, trigger: str) -> None:
    """However many rows have ended, and however many wait."""
    empty_tables("classification_inference", "webhooks_webhookdelivery")
    with connection.cursor() as cursor:
        cursor.execute(FILL)
        cursor.execute("ANALYZE classification_inference, webhooks_webhookdelivery")
        cursor.execute("EXPLAIN (FORMAT json) " + query(scaled, trigger))
        ((plan,),) = cursor.fetchall()
    text = json.dumps(plan)
    for index in {"rows": ("inference_next", "inference_leased"), "age": ("inference_next",), "due": ("webhook_due",)}[
        trigger
    ]:
        assert f'"{index}' in text, text
    scans = [part for part in text.split("{") if '"Node Type": "Seq Scan"' in part]
    assert all('"classification_outage"' in scan for scan in scans), text


def test_other_queues_have_the_same_triggers() -> None:
    """queues/slow/ is an example to copy."""
    (slow,) = [one for one in manifests("ScaledObject") if one["spec"]["scaleTargetRef"]["name"] == "worker-slow"]
    ours = triggers("worker")
    for trigger in slow["spec"]["triggers"]:
        assert (
            trigger["metadata"]["query"].replace("'slow'", "'inferences'") == ours[trigger["name"]]["metadata"]["query"]
        )
