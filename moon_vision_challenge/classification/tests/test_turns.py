"""Claims are fair: owners alternate, and single rows come before those of jobs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import claims, turns
from moon_vision_challenge.classification.queue.turns import Lane
from moon_vision_challenge.classification.tests.plans import empty_tables, explain

pytestmark = pytest.mark.django_db

LEASE = timedelta(minutes=1)


def add(owner_id: int, count: int, lane: Lane = Lane.BULK, model_type: str = "resnet") -> None:
    """Add rows as a job or a request does."""
    turn = turns.read_next_turn(lane, queue="inferences", model_type=model_type, owner_id=owner_id)
    Inference.objects.bulk_create(
        Inference(owner_id=owner_id, model_type=model_type, image="x.jpg", turn=turn + number)
        for number in range(count)
    )


def claim(limit: int) -> list[int]:
    """Claim rows, and return their owners in order."""
    rows = claims.claim_waiting(queue="inferences", limit=limit, lease=LEASE)
    return [row.owner_id for row in sorted(rows, key=lambda row: (row.turn, row.pk))]  # type: ignore[misc]  # not null


def test_rows_of_one_owner_keep_their_order() -> None:
    add(1, 3)
    add(1, 3)
    rows = list(Inference.objects.order_by("pk"))
    claimed = [claims.claim_waiting(queue="inferences", limit=1, lease=LEASE)[0].pk for _ in range(6)]
    assert claimed == [row.pk for row in rows]


def test_a_second_owner_does_not_wait_for_the_backlog_of_the_first() -> None:
    add(1, 1000)
    claim(100)
    add(2, 3)
    assert claim(8) == [1, 2, 1, 2, 1, 2, 1, 1]


def test_an_owner_with_many_jobs_has_one_share() -> None:
    for _ in range(5):
        add(1, 100)
    add(2, 100)
    add(3, 100)
    assert claim(9) == [1, 2, 3] * 3


def test_an_owner_who_comes_later_does_not_overtake_the_others_for_long() -> None:
    add(1, 1000)
    claim(500)
    add(2, 500)
    assert claim(10) == [1, 2] * 5


@pytest.mark.parametrize("owner_id", [1, 2])
def test_a_single_row_comes_before_those_of_jobs(owner_id: int) -> None:
    add(1, 100)
    add(owner_id, 1, Lane.SINGLE)
    assert Inference.objects.get(pk=claims.claim_waiting(queue="inferences", limit=1, lease=LEASE)[0].pk).turn == 0


def test_a_batch_of_single_rows_is_not_filled_up_with_rows_of_jobs() -> None:
    add(1, 100)
    add(2, 3, Lane.SINGLE)
    assert claim(8) == [2, 2, 2]
    assert claim(8) == [1] * 8


def test_rows_of_jobs_can_be_passed_over() -> None:
    add(1, 100)
    assert claims.claim_waiting(queue="inferences", limit=8, bulk_limit=0, lease=LEASE) == []
    add(2, 1, Lane.SINGLE)
    assert len(claims.claim_waiting(queue="inferences", limit=8, bulk_limit=0, lease=LEASE)) == 1
    assert claims.claim_waiting(queue="inferences", limit=8, bulk_limit=0, lease=LEASE) == []


def test_single_rows_of_owners_alternate_too() -> None:
    add(1, 100, Lane.SINGLE)
    add(2, 2, Lane.SINGLE)
    assert claim(5) == [1, 2, 1, 2, 1]


def test_a_row_of_an_older_release_comes_first() -> None:
    add(1, 3, Lane.SINGLE)
    old = Inference.objects.create(owner_id=2, model_type="resnet", image="x.jpg")
    assert old.turn == 0
    assert 2 in claim(2)


def test_the_queue_of_another_model_gives_a_new_one_its_turn() -> None:
    add(1, 1000)
    claim(500)
    add(2, 1000, model_type="inception")
    seen = [claim(1)[0] for _ in range(10)]
    assert (seen.count(1), seen.count(2)) == (5, 5)


def test_a_row_that_waits_for_a_retry_does_not_turn_the_queue_back() -> None:
    add(1, 1000)
    first = Inference.objects.order_by("turn").first()
    assert first
    claim(500)
    Inference.objects.filter(pk=first.pk).update(status="pending", available_at=Now() + timedelta(minutes=1))
    add(2, 500)
    assert claim(10) == [1, 2] * 5


def test_rows_of_a_model_that_is_down_do_not_turn_the_queue_of_another_back() -> None:
    add(1, 10, model_type="inception")
    add(1, 1000)
    Inference.objects.filter(model_type="resnet", turn__lt=Lane.BULK + 500).update(status="done")
    add(2, 500)
    newest = Inference.objects.filter(owner_id=2).order_by("turn").first()
    assert newest
    assert newest.turn >= Lane.BULK + 500


def test_each_statement_reads_a_short_range_of_one_index() -> None:
    empty_tables("classification_inference")
    for owner_id in range(1, 11):
        add(owner_id, 1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE classification_inference")
    parameters = {"queue": "inferences", "limit": 8, "token": "0" * 32, "lease": LEASE}
    parameters |= {"bulk": Lane.BULK.value, "bulk_limit": 8}
    lane = {"model_type": "resnet", "owner": 5, "begin": Lane.BULK.value, "end": Lane.BULK + turns.LANE_SIZE}
    for sql in (claims._FIND_WAITING, turns._NEXT_TURN, claims._CLAIM):  # the claim last: it changes rows
        found = [node for node in explain(sql, {**parameters, **lane}) if "classification_inference" in str(node)]
        scans = [
            node
            for node in found
            if node.get("Relation Name") == "classification_inference" and "Scan" in node["Node Type"]
        ]
        assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}, sql
        assert [node for node in found if "Sort" in node["Node Type"]] == [], sql
        assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans) <= 8, sql
