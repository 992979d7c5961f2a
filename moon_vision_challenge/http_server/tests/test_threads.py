"""Waiting threads are replaced while jobs are left, up to a limit, until they no longer wait."""

import threading
from collections.abc import Iterator

import pytest

from moon_vision_challenge.http_server.tests.conftest import TIMEOUT_S, wait_for
from moon_vision_challenge.http_server.threads import Threads

USUAL, SPARE = 2, 3


class Neighbour:
    """What jobs wait for."""

    def __init__(self) -> None:
        self._waiting: list[threading.Event] = []

    def waiting(self) -> int:
        return len(self._waiting)

    def wait(self) -> None:
        answer = threading.Event()
        self._waiting.append(answer)
        answer.wait(TIMEOUT_S)

    def answer(self) -> None:
        self._waiting.pop().set()

    def answer_all(self) -> None:
        while self._waiting:
            self.answer()


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    made = Neighbour()
    yield made
    made.answer_all()


@pytest.fixture
def left() -> list[str]:
    """The names of the threads that have ended."""
    return []


@pytest.fixture
def threads(neighbour: Neighbour, left: list[str]) -> Threads:
    def leave() -> None:
        left.append(threading.current_thread().name)

    return Threads(USUAL, "test", spare=SPARE, waiting=neighbour.waiting, leave=leave)


def hold(threads: Threads, neighbour: Neighbour, count: int) -> None:
    """Submit jobs that wait, as long as there are threads for them."""
    for _ in range(count):
        threads.submit(neighbour.wait)
    wait_for(lambda: neighbour.waiting() == USUAL)
    while neighbour.waiting() < min(count, USUAL + SPARE):
        threads.replace_waiting()


def test_a_job_is_done_although_all_usual_threads_wait(threads: Threads, neighbour: Neighbour) -> None:
    hold(threads, neighbour, USUAL)
    done = threading.Event()
    threads.submit(done.set)
    assert not done.is_set()
    threads.replace_waiting()
    assert done.wait(TIMEOUT_S)
    assert neighbour.waiting() == USUAL


def test_none_is_started_without_a_job_for_it(threads: Threads, neighbour: Neighbour) -> None:
    hold(threads, neighbour, USUAL)
    assert not threads.replace_waiting()
    assert threads.count == USUAL


def test_none_is_started_while_one_does_not_wait(threads: Threads, neighbour: Neighbour) -> None:
    release = threading.Event()

    def work() -> None:
        release.wait(TIMEOUT_S)

    threads.submit(work)
    threads.submit(neighbour.wait)
    wait_for(lambda: neighbour.waiting() == 1)
    threads.submit(neighbour.wait)
    assert threads.replace_waiting()
    assert threads.count == USUAL
    release.set()


def test_there_are_never_more_than_the_spare_ones(threads: Threads, neighbour: Neighbour) -> None:
    hold(threads, neighbour, USUAL + SPARE + 1)
    for _ in range(3):
        assert threads.replace_waiting()
    assert threads.count == USUAL + SPARE


def test_as_many_threads_end_as_were_added_when_nobody_waits_any_more(
    threads: Threads, neighbour: Neighbour, left: list[str]
) -> None:
    hold(threads, neighbour, USUAL + SPARE)
    assert left == []
    neighbour.answer_all()
    wait_for(lambda: len(left) == SPARE)
    assert threads.count == USUAL
    done = threading.Event()
    threads.submit(done.set)
    assert done.wait(TIMEOUT_S)
