"""Generated results and exceptions of hooks: only storable values leave a hook, and no process ends."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moon_vision_challenge.classification.abstract_classificator import Classification
from moon_vision_challenge.classification.exceptions import InvalidPredictionError
from moon_vision_challenge.classification.tests.hooks import HOOKS, IMAGE, Colour, raising, returning
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.classification.tests.test_results import Prediction
from moon_vision_challenge.model_io.prediction import LABEL_MAX_LENGTH


class Score(float):
    """A subclass of float, as some libraries return."""


class Row(NamedTuple):
    label: str
    score: float


LABELS = st.text(st.characters(), max_size=20) | st.sampled_from(["cat", "\0", "\ud800", "x" * 2000, Colour.RED])
NUMBERS = st.integers() | st.floats() | st.decimals() | st.fractions() | st.complex_numbers() | st.booleans()
SCALARS = st.one_of(
    hnp.arrays(
        hnp.scalar_dtypes() | hnp.byte_string_dtypes() | hnp.unicode_string_dtypes(), hnp.array_shapes(min_dims=0)
    ),
    hnp.scalar_dtypes().flatmap(hnp.from_dtype),
    st.builds(np.ma.masked_array, st.lists(st.floats(), max_size=3), mask=st.booleans()),
    st.builds(Score, st.floats()),
)
OBJECTS = st.sampled_from([None, object(), int, Complete, np.ma.masked, ..., NotImplemented])
LEAVES = st.one_of(LABELS, NUMBERS, SCALARS, OBJECTS, st.binary(max_size=9), st.dates(), st.uuids())
PREDICTIONS = st.builds(
    Prediction, LABELS | SCALARS | LEAVES, st.none() | st.floats(0, 1) | LEAVES, st.none() | st.integers(0, 9) | LEAVES
)


def collections(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(inner, max_size=3)
    return st.one_of(
        many, many.map(tuple), many.map(iter), many.map(lambda items: (item for item in items)),
        many.map(lambda items: dict(enumerate(items))), st.builds(Row, LABELS, inner), st.sets(LABELS, max_size=3),
    )  # fmt: skip


ANYTHING = st.recursive(LEAVES | PREDICTIONS, collections, max_leaves=6)
PAIRS = st.tuples(LEAVES, LEAVES).map(list)
RETURNED = {
    "decode_predictions": LABELS | ANYTHING,
    "decode_scores": st.lists(PREDICTIONS, max_size=4) | ANYTHING,
    "predict_batch": PAIRS | ANYTHING,
}


def storable(found: Sequence[Classification]) -> bool:
    for one in found:
        json.loads(json.dumps([one.label, *one.predictions], allow_nan=False).encode("utf-8"))
        assert type(one.label) is str
        assert len(one.label) <= LABEL_MAX_LENGTH
        assert "\0" not in one.label
        one.label.encode()
        assert all(type(prediction) is Prediction for prediction in one.predictions)
    return True


def classify(one: Complete, top_k: int) -> bool:
    """Return whether the classificator answered."""
    refused: InvalidPredictionError | None = None
    found: Sequence[Classification] = ()
    try:
        found = one.classify([IMAGE, IMAGE], top_k=top_k)
    except InvalidPredictionError as error:
        refused = error
    if refused is None:
        return storable(found)
    json.dumps(refused.detail).encode()
    assert len(str(refused)) < 400
    return False


@pytest.mark.parametrize("hook", RETURNED)
@given(data=st.data(), top_k=st.integers(0, 4))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_only_storable_values_leave_a_hook(hook: str, data: st.DataObject, top_k: int) -> None:
    event(f"{hook} answers: {classify(returning(hook, data.draw(RETURNED[hook])), top_k)}")


EXCEPTIONS = [
    *(SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, RecursionError, asyncio.CancelledError),
    *(BaseException, StopIteration, StopAsyncIteration, ValueError, OSError, Exception, Warning, AssertionError),
]


@pytest.mark.parametrize("hook", [*HOOKS, "predict_batch"])
@given(kind=st.sampled_from(EXCEPTIONS), arguments=st.lists(ANYTHING, max_size=2))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_exception_of_a_hook_ends_the_process(hook: str, kind: type[BaseException], arguments: list[Any]) -> None:
    images = [IMAGE] if hook == "process_prediction" else [IMAGE, IMAGE]
    error = kind(*arguments)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the test is that it is not a BaseException
        raising(hook, error).classify(images, top_k=1)
    assert caught.value is error or isinstance(caught.value, InvalidPredictionError)
