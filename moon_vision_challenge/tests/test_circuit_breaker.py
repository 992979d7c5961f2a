import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.tests.clock import Clock

OPEN_S = 5.0
WAIT_S = 600


class NeighbourError(Exception):
    """The neighbour does not answer."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(OPEN_S, clock=clock)


def fail(breaker: CircuitBreaker) -> None:
    with pytest.raises(NeighbourError), breaker.call(NeighbourError):
        raise NeighbourError


def calls_through(breaker: CircuitBreaker) -> bool:
    try:
        with breaker.call(NeighbourError):
            return True
    except CircuitOpenError:
        return False


def held_call(
    breaker: CircuitBreaker, pool: ThreadPoolExecutor, error: Exception | None = None
) -> tuple[threading.Event, "Future[None]"]:
    """Start a call, and return once it has reached the neighbour. It ends when the event is set."""
    reached, release = threading.Event(), threading.Event()

    def call() -> None:
        with breaker.call(NeighbourError):
            reached.set()
            assert release.wait(WAIT_S)
            if error:
                raise error

    future = pool.submit(call)
    assert reached.wait(WAIT_S)
    return release, future


def test_while_nothing_fails_every_call_goes_through(breaker: CircuitBreaker) -> None:
    assert all(calls_through(breaker) for _ in range(3))
    assert not breaker.is_tripped


def test_after_a_failure_no_call_goes_through_for_its_time(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S - 0.1
    assert not calls_through(breaker)
    clock.now_s += 0.2
    assert calls_through(breaker)


def test_an_answer_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    assert [calls_through(breaker) for _ in range(3)] == [True, True, True]
    assert not breaker.is_tripped


def test_a_probe_that_fails_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    fail(breaker)
    assert not calls_through(breaker)
    clock.now_s += OPEN_S
    assert calls_through(breaker)


def test_an_error_of_another_kind_is_an_answer(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    with pytest.raises(LookupError), breaker.call(NeighbourError):
        raise LookupError
    assert not breaker.is_tripped


def test_of_many_threads_one_probes_however_long_it_takes(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    with ThreadPoolExecutor(9) as pool:
        release, probe = held_call(breaker, pool)
        for _ in range(3):
            clock.now_s += 10 * OPEN_S
            assert list(pool.map(calls_through, [breaker] * 8)) == [False] * 8
        release.set()
        probe.result(WAIT_S)
        assert all(pool.map(calls_through, [breaker] * 8))


def test_threads_that_arrive_together_send_one_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    together, all_have_tried = threading.Barrier(8), threading.Barrier(8)

    def arrive(_: int) -> bool:
        together.wait(WAIT_S)
        try:
            with breaker.call(NeighbourError):
                all_have_tried.wait(WAIT_S)
                return True
        except CircuitOpenError:
            all_have_tried.wait(WAIT_S)
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(arrive, range(8))) == 1


def test_a_call_from_before_the_failure_does_not_start_a_second_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    with ThreadPoolExecutor(2) as pool:
        release_old, old = held_call(breaker, pool, NeighbourError())
        fail(breaker)
        clock.now_s += OPEN_S
        release_probe, probe = held_call(breaker, pool)
        release_old.set()
        assert isinstance(old.exception(WAIT_S), NeighbourError)
        clock.now_s += 2 * OPEN_S
        assert not calls_through(breaker)
        release_probe.set()
        probe.result(WAIT_S)


def test_a_probe_that_is_interrupted_leaves_the_next_caller_to_find_out(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += OPEN_S
    with pytest.raises(SystemExit), breaker.call(NeighbourError):
        raise SystemExit
    assert breaker.is_tripped
    assert calls_through(breaker)


@pytest.fixture
def released() -> threading.Event:
    return threading.Event()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_with_a_probe_no_caller_waits_for_the_neighbour(clock: Clock, released: threading.Event) -> None:
    probes: list[None] = []

    def probe() -> None:
        probes.append(None)
        assert released.wait(WAIT_S)

    breaker = CircuitBreaker(OPEN_S, probe=probe, clock=clock)
    fail(breaker)
    clock.now_s += OPEN_S
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(calls_through, [breaker] * 40)) == [False] * 40
    assert len(probes) == 1
    released.set()
    wait_until(lambda: not breaker.is_tripped)
    assert calls_through(breaker)


def test_a_probe_in_a_thread_that_fails_opens_it_again(clock: Clock) -> None:
    answers = iter([NeighbourError(), LookupError(), None])
    probed = []

    def probe() -> None:
        answer = next(answers)
        probed.append(answer)
        if answer:
            raise answer

    breaker = CircuitBreaker(OPEN_S, probe=probe, clock=clock)
    fail(breaker)
    for number in (1, 2, 3):
        clock.now_s += OPEN_S
        assert not calls_through(breaker)
        wait_until(lambda: len(probed) == number and not breaker._is_probing)  # noqa: B023
        assert breaker.is_tripped == (number < 3)
