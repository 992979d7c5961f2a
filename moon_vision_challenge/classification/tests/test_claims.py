"""Claims under a real race, on real PostgreSQL."""

import random
import threading
import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from moon_vision_challenge.classification.models import Inference, Outage
from moon_vision_challenge.classification.queue import claims, outages
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.classification.tests.racing import race
from moon_vision_challenge.classification.tests.waiting import LIMIT_S

STATUS = Inference.STATUS
LEASE = timedelta(minutes=1)
ERROR = {"code": "worker_lost", "detail": "lost"}


def waiting(count: int = 1) -> list[Inference]:
    return Inference.objects.bulk_create(Inference(model_type="resnet", image="x.jpg") for _ in range(count))


def claim(limit: int = 8) -> list[Inference]:
    return claims.claim_waiting(queue="inferences", limit=limit, lease=LEASE)


@pytest.mark.django_db(transaction=True)
def test_racing_workers_claim_every_row_exactly_once() -> None:
    rows = waiting(200)
    claimed: list[int] = []

    def work(_: int) -> None:
        while batch := claim(limit=3):
            claimed.extend(row.pk for row in batch)

    race(work, threads=8)
    assert Counter(claimed) == Counter(row.pk for row in rows)
    assert set(Inference.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_workers_that_keep_losing_their_leases_finish_no_row_twice() -> None:
    rows = waiting(60)
    finished: Counter[int] = Counter()
    late = 0
    lock = threading.Lock()
    end = time.monotonic() + LIMIT_S

    def work(number: int) -> None:
        nonlocal late
        chance = random.Random(number)
        while len(finished) < len(rows) and time.monotonic() < end:
            # Half of the time, the model takes longer than the lease: the lease is then over from the start.
            lease = chance.choice([LEASE, timedelta()])
            batch = claims.claim_waiting(queue="inferences", limit=4, lease=lease)
            if chance.random() < 0.5:
                claims.free_expired(max_attempts=10_000, error=ERROR)
            written = claims.end_attempts([AttemptOutcome(row, STATUS.DONE, "tabby") for row in batch])
            with lock:
                finished.update(written)
                late += len(batch) - len(written)

    race(work, threads=6)
    assert finished == Counter(row.pk for row in rows)
    assert late > 0


@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_transaction_holds_is_skipped_not_waited_for() -> None:
    first, second = waiting(2)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM classification_inference WHERE id = %s FOR UPDATE", [first.pk])
            held.set()
            done.wait(LIMIT_S)
            cursor.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LIMIT_S)
    try:
        assert [row.pk for row in claim()] == [second.pk]
    finally:
        done.set()
        thread.join()


@pytest.mark.django_db
def test_the_holder_of_the_lease_ends_the_attempt() -> None:
    waiting()
    (row,) = claim()
    assert claims.end_attempts([AttemptOutcome(row, STATUS.DONE, "tabby")]) == {row.pk}
    row.refresh_from_db()
    assert (row.status, row.label, row.lease_token, row.lease_expires_at) == (STATUS.DONE, "tabby", None, None)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [STATUS.DONE, STATUS.FAIL, STATUS.PENDING])
def test_a_worker_that_lost_its_lease_changes_nothing(status: Inference.STATUS) -> None:
    waiting()
    (row,) = claim()
    Inference.objects.update(lease_token=uuid.uuid4())  # freed, and claimed by another worker
    assert claims.end_attempts([AttemptOutcome(row, status, "tabby", ERROR)]) == set()
    row.refresh_from_db()
    assert (row.status, row.label, row.error) == (STATUS.PROCESSING, "", None)


@pytest.mark.django_db
def test_an_attempt_is_ended_once() -> None:
    waiting()
    (row,) = claim()
    claims.end_attempts([AttemptOutcome(row, STATUS.DONE, "tabby")])
    assert claims.end_attempts([AttemptOutcome(row, STATUS.DONE, "puffin")]) == set()
    row.refresh_from_db()
    assert row.label == "tabby"


@pytest.mark.django_db
def test_a_claimed_row_is_not_claimed_again_while_its_lease_runs() -> None:
    waiting()
    assert len(claim()) == 1
    claims.free_expired(max_attempts=5, error=ERROR)
    assert claim() == []


@pytest.mark.django_db
def test_an_expired_lease_frees_the_row_for_another_worker() -> None:
    waiting()
    (lost,) = claim()
    Inference.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert claims.free_expired(max_attempts=5, error=ERROR) == ([lost], [])
    (found,) = claim()
    assert (found.pk, found.attempts) == (lost.pk, 2)
    assert found.lease_token != lost.lease_token


@pytest.mark.django_db
def test_a_row_whose_worker_was_lost_at_the_last_attempt_fails() -> None:
    waiting()
    (row,) = claim()
    Inference.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert claims.free_expired(max_attempts=1, error=ERROR) == ([], [row])
    row.refresh_from_db()
    assert (row.status, row.error) == (STATUS.FAIL, ERROR)
    assert row.finished_at is not None


@pytest.mark.django_db
def test_ending_no_attempt_asks_nothing_of_the_database(django_assert_num_queries: object) -> None:
    assert claims.end_attempts([]) == set()


def lose(rows: list[Inference], max_attempts: int = 5) -> tuple[list[Inference], list[Inference]]:
    """Expire the lease of these rows, as if their worker had been killed, and free them."""
    Inference.objects.filter(pk__in=[row.pk for row in rows]).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    return claims.free_expired(max_attempts=max_attempts, error=ERROR)


@pytest.mark.django_db
def test_rows_of_a_lost_batch_are_not_charged_and_are_claimed_alone() -> None:
    rows = waiting(3)
    freed, failed = lose(claim(), max_attempts=1)
    assert ({row.pk for row in freed}, failed) == ({row.pk for row in rows}, [])
    assert set(Inference.objects.values_list("attempts", flat=True)) == {0}
    assert sorted(len(claim()) for _ in range(4)) == [0, 1, 1, 1]


@pytest.mark.django_db
def test_only_the_row_that_is_lost_alone_each_time_fails() -> None:
    culprit, *mates = waiting(8)
    lose(claim())
    done: set[int] = set()
    while batch := claim():
        (row,) = batch
        if row.pk == culprit.pk:
            lose(batch, max_attempts=3)
        else:
            done |= claims.end_attempts([AttemptOutcome(row, STATUS.DONE, "tabby")])
    assert done == {mate.pk for mate in mates}
    culprit.refresh_from_db()
    assert (culprit.status, culprit.attempts, culprit.error) == (STATUS.FAIL, 3, ERROR)


@pytest.mark.django_db
def test_a_row_that_survives_alone_is_claimed_with_others_again() -> None:
    waiting(2)
    lose(claim())
    for _ in range(2):
        (row,) = claim()
        claims.end_attempts([AttemptOutcome(row, STATUS.PENDING, error=ERROR)])
    assert len(claim()) == 2


def begin_outage(*model_types: str, is_over: bool) -> None:
    outages.begin(model_types)
    Outage.objects.update(until=timezone.now() + timedelta(hours=-1 if is_over else 1))


@pytest.mark.django_db
@pytest.mark.parametrize("away", ["resnet", outages.MEDIA_STORE])
def test_rows_whose_neighbour_is_away_are_not_claimed(away: str) -> None:
    waiting(3)
    begin_outage(away, is_over=False)
    assert (claim(), claims.find_waiting(queue="inferences")) == ([], None)


@pytest.mark.django_db
def test_the_outage_of_one_model_stops_no_other() -> None:
    waiting(3)
    begin_outage("inception", is_over=False)
    assert len(claim()) == 3


@pytest.mark.django_db
@pytest.mark.parametrize("away", [["resnet"], [outages.MEDIA_STORE], ["resnet", outages.MEDIA_STORE]])
def test_after_the_pause_one_row_finds_out_whether_the_neighbour_is_back(away: list[str]) -> None:
    waiting(5)
    begin_outage(*away, is_over=True)
    (probe,) = claim()
    assert claim() == []
    claims.end_attempts([AttemptOutcome(probe, STATUS.DONE, "tabby")])
    assert len(claim()) == 4


@pytest.mark.django_db
def test_a_probe_that_finds_the_neighbour_still_away_prolongs_the_pause() -> None:
    waiting(5)
    begin_outage("resnet", is_over=True)
    Outage.objects.update(since=timezone.now() - timedelta(minutes=1))
    (probe,) = claim()
    claims.end_attempts([AttemptOutcome(probe, STATUS.PENDING, error=ERROR, is_charged=False, is_outage=True)])
    before = timezone.now()
    outages.begin(["resnet"])
    assert before <= Outage.objects.get().until - timedelta(seconds=15) <= timezone.now()
    probe.refresh_from_db()
    assert (probe.attempts, probe.unavailable_since is not None) == (0, True)
    assert claim() == []


@pytest.mark.django_db(transaction=True)
def test_of_racing_workers_one_sends_the_probe() -> None:
    waiting(50)
    begin_outage("resnet", is_over=True)
    claimed: list[Inference] = []
    race(lambda _: claimed.extend(claim()), threads=8)
    assert len(claimed) == 1
