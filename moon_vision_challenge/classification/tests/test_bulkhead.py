"""A model server that stops answering, and one that is only slow."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.classification.serving.bulkhead import MAX_WAITING, STALLED_S, Bulkhead, bulkhead_of
from moon_vision_challenge.tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bulkhead(clock: Clock) -> Iterator[Bulkhead]:
    """A bulkhead with as many waiting calls as it allows."""
    made = Bulkhead(clock)
    with ExitStack() as stack:
        for _ in range(MAX_WAITING):
            stack.enter_context(made.call())
        yield made


def test_calls_behind_many_that_get_no_answer_are_refused(bulkhead: Bulkhead, clock: Clock) -> None:
    clock.now_s += STALLED_S + 1
    for _ in range(2):
        with pytest.raises(ModelServerUnavailableError), bulkhead.call():
            pass


def test_calls_behind_many_are_let_through_while_some_are_answered(bulkhead: Bulkhead, clock: Clock) -> None:
    for _ in range(9):
        clock.now_s += STALLED_S
        with bulkhead.call():
            pass


def test_a_refusal_of_the_model_is_an_answer(bulkhead: Bulkhead, clock: Clock) -> None:
    clock.now_s += STALLED_S
    with pytest.raises(InvalidPredictionError), bulkhead.call():
        raise InvalidPredictionError
    clock.now_s += STALLED_S
    with bulkhead.call():
        pass


@pytest.mark.parametrize("error", [ModelServerTimeoutError, ModelServerUnavailableError])
def test_no_answer_is_not_an_answer(bulkhead: Bulkhead, clock: Clock, error: type[ClassificationError]) -> None:
    clock.now_s += STALLED_S
    with pytest.raises(error), bulkhead.call():
        raise error
    clock.now_s += STALLED_S
    with pytest.raises(ModelServerUnavailableError), bulkhead.call():
        pass


def test_few_may_wait_for_however_long(clock: Clock) -> None:
    bulkhead = Bulkhead(clock)
    with ExitStack() as stack:
        for _ in range(MAX_WAITING):
            clock.now_s += STALLED_S + 1
            stack.enter_context(bulkhead.call())


def test_models_of_one_server_share_it_and_those_of_another_do_not() -> None:
    first, second, other = map(
        bulkhead_of, ("http://a:8501/v1/models/x:predict", "http://a:8501/v2/models/y/infer", "http://b:8501/v1/x")
    )
    assert first is second
    assert first is not other
