"""While single rows arrive, one process of a worker does no bulk work."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, bulk_share, worker
from moon_vision_challenge.classification.queue.bulk_share import SINGLES_EXPECTED_S, BulkShare
from moon_vision_challenge.classification.queue.turns import Lane
from moon_vision_challenge.tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def other_process(work: Callable[[], object]) -> Iterator[None]:
    """Fork a process that does some work, and keep it alive until the end of the context."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(done, b"1")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(ready, 1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)


def expect_singles(share: BulkShare) -> None:
    for _ in range(2):
        share.note_single()


def test_all_processes_do_bulk_work_while_no_single_rows_come(clock: Clock) -> None:
    share = BulkShare(2, clock=clock)
    with other_process(lambda: share.rows_to_claim(8)):
        assert share.rows_to_claim(8) == 8


def test_one_process_is_left_to_single_rows(clock: Clock) -> None:
    share = BulkShare(2, clock=clock)
    expect_singles(share)
    with other_process(lambda: share.rows_to_claim(8)):
        assert share.rows_to_claim(8) == 0
        assert not share.leave()
        clock.now_s += SINGLES_EXPECTED_S
        assert share.rows_to_claim(8) == 8
    assert not share.leave()


def test_the_place_of_a_killed_process_is_free(clock: Clock) -> None:
    share = BulkShare(2, clock=clock)
    expect_singles(share)
    with other_process(lambda: share.rows_to_claim(8)):
        assert share.rows_to_claim(8) == 0
    assert share.rows_to_claim(8) == 8
    assert share.rows_to_claim(8) == 8, "it keeps its place"
    assert share.leave()
    with other_process(lambda: share.rows_to_claim(8)):
        assert share.rows_to_claim(8) == 0


def test_of_three_processes_two_may_do_bulk_work(clock: Clock) -> None:
    share = BulkShare(3, clock=clock)
    expect_singles(share)
    with other_process(lambda: share.rows_to_claim(8)):
        assert share.rows_to_claim(8) == 8
        assert share._place == 1


def test_a_process_that_is_alone_claims_small_batches(clock: Clock) -> None:
    share = BulkShare(1, clock=clock)
    assert share.rows_to_claim(8) == 8
    expect_singles(share)
    assert share.rows_to_claim(8) == 2
    assert share.rows_to_claim(1) == 1
    clock.now_s += SINGLES_EXPECTED_S
    assert share.rows_to_claim(8) == 8


def test_one_single_row_changes_nothing(clock: Clock) -> None:
    share = BulkShare(1, clock=clock)
    share.note_single()
    assert share.rows_to_claim(8) == 8
    clock.now_s += SINGLES_EXPECTED_S
    share.note_single()
    assert share.rows_to_claim(8) == 8


def test_processes_see_each_others_single_rows(clock: Clock) -> None:
    share = BulkShare(1, clock=clock)
    with other_process(lambda: expect_singles(share)):
        assert share.rows_to_claim(8) == 2


def test_a_place_is_held_during_other_bulk_work(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    share = BulkShare(2, clock=clock)
    monkeypatch.setattr(bulk_share, "_shares", [share])
    with bulk_share.bulk_work():
        assert share._place == 0
    assert share._place is None


@pytest.mark.django_db
def test_what_a_process_leaves_wakes_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_share, "_shares", [share := BulkShare(2)])
    monkeypatch.setattr(batch, "run", lambda _: [])
    monkeypatch.setattr(worker, "TURN_S", 0)
    rows = (Inference(model_type="resnet", job_id=1, turn=Lane.BULK + number) for number in range(20))
    Inference.objects.bulk_create(rows)
    expect_singles(share)
    woken: list[object] = []

    def drain() -> int:
        """Let a worker drain the queue, and return the number of rows that it leaves."""
        worker.drain(queue="inferences", wake=lambda *arguments: woken.append(arguments))
        return Inference.objects.filter(status="pending").count()

    with other_process(lambda: share.rows_to_claim(8)):
        assert (drain(), len(woken)) == (20, 0)
    assert (drain(), len(woken)) == (12, 2), "before its batch, and when it has left its place"
    assert share._place is None
