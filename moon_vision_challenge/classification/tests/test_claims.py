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

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import claims
from moon_vision_challenge.classification.queue.claims import Outcome

STATUS = Inference.STATUS
LEASE = timedelta(minutes=1)
ERROR = {"code": "worker_lost", "detail": "lost"}


def waiting(count: int = 1) -> list[Inference]:
    return Inference.objects.bulk_create(Inference(model_type="resnet", image="x.jpg") for _ in range(count))


def claim(limit: int = 8) -> list[Inference]:
    return claims.claim_waiting(model_types=["resnet"], limit=limit, lease=LEASE)


@pytest.mark.django_db(transaction=True)
def test_racing_workers_claim_every_row_exactly_once() -> None:
    rows = waiting(200)
    claimed: list[int] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            while batch := claim(limit=3):
                claimed.extend(row.pk for row in batch)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claimed) == Counter(row.pk for row in rows)
    assert set(Inference.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_workers_that_lose_their_leases_all_the_time_finish_no_row_twice() -> None:
    rows = waiting(60)
    finished: Counter[int] = Counter()
    late = 0
    lock = threading.Lock()
    end = time.monotonic() + 60

    def work(number: int) -> None:
        nonlocal late
        delays = random.Random(number)
        try:
            while len(finished) < len(rows) and time.monotonic() < end:
                batch = claims.claim_waiting(model_types=["resnet"], limit=4, lease=timedelta(milliseconds=10))
                time.sleep(delays.uniform(0, 0.02))  # the model: half of the time it takes longer than the lease
                claims.free_expired(max_attempts=10_000, error=ERROR)
                written = claims.end_attempts([Outcome(row, STATUS.DONE, "tabby") for row in batch])
                with lock:
                    finished.update(written)
                    late += len(batch) - len(written)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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
            done.wait(10)
            cursor.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        assert [row.pk for row in claim()] == [second.pk]
    finally:
        done.set()
        thread.join()


@pytest.mark.django_db
def test_the_holder_of_the_lease_ends_the_attempt() -> None:
    waiting()
    (row,) = claim()
    assert claims.end_attempts([Outcome(row, STATUS.DONE, "tabby")]) == {row.pk}
    row.refresh_from_db()
    assert (row.status, row.label, row.lease_token, row.lease_expires_at) == (STATUS.DONE, "tabby", None, None)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [STATUS.DONE, STATUS.FAIL, STATUS.PENDING])
def test_who_lost_the_lease_changes_nothing(status: Inference.STATUS) -> None:
    waiting()
    (row,) = claim()
    Inference.objects.update(lease_token=uuid.uuid4())  # freed, and claimed by another worker
    assert claims.end_attempts([Outcome(row, status, "tabby", ERROR)]) == set()
    row.refresh_from_db()
    assert (row.status, row.label, row.error) == (STATUS.PROCESSING, "", None)


@pytest.mark.django_db
def test_an_attempt_is_ended_once() -> None:
    waiting()
    (row,) = claim()
    claims.end_attempts([Outcome(row, STATUS.DONE, "tabby")])
    assert claims.end_attempts([Outcome(row, STATUS.DONE, "puffin")]) == set()
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
    assert claims.free_expired(max_attempts=5, error=ERROR) == (1, [])
    (found,) = claim()
    assert (found.pk, found.attempts) == (lost.pk, 2)
    assert found.lease_token != lost.lease_token


@pytest.mark.django_db
def test_a_row_whose_worker_was_lost_at_the_last_attempt_fails() -> None:
    waiting()
    (row,) = claim()
    Inference.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert claims.free_expired(max_attempts=1, error=ERROR) == (0, [row])
    row.refresh_from_db()
    assert (row.status, row.error) == (STATUS.FAIL, ERROR)
    assert row.finished_at is not None


@pytest.mark.django_db
def test_ending_no_attempt_asks_nothing_of_the_database(django_assert_num_queries: object) -> None:
    assert claims.end_attempts([]) == set()
