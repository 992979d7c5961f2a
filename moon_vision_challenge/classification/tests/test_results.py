"""Whatever a hook returns or raises, the classificator's result can be stored and sent, or one error says why not."""

import asyncio
import types
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.classification import abstract_classificator
from moon_vision_challenge.classification.exceptions import InvalidPredictionError
from moon_vision_challenge.classification.results import contained
from moon_vision_challenge.classification.tests.hooks import HOOKS, IMAGE, Colour, Unshowable, raising, returning
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.model_io.prediction import LABEL_MAX_LENGTH

Prediction: Any = abstract_classificator.Prediction  # the tests pass values that its types forbid


@pytest.mark.parametrize(
    ("label", "clean"),
    [
        ("cat", "cat"),
        ("", ""),
        ("Bergkäse 🧀", "Bergkäse 🧀"),
        ("x" * LABEL_MAX_LENGTH, "x" * LABEL_MAX_LENGTH),
        (np.str_("cat"), "cat"),
        (np.array("cat"), "cat"),
        (np.int64(7), "7"),
        (np.uint8(7), "7"),
        (np.array(7), "7"),
        (np.float32(0.5), "0.5"),
        (Colour.RED, "red"),
    ],
)
def test_a_label_becomes_a_plain_string(label: Any, clean: str) -> None:
    found = returning("decode_predictions", label).predict(IMAGE)
    assert (found, type(found)) == (clean, str)
    assert returning("predict_batch", [label, "b"]).classify([IMAGE, IMAGE])[0].label == clean


NO_LABELS = [
    *(None, 7, 0.5, True, b"cat", {"label": "cat"}, ["cat"], ("cat",), object, Unshowable(), float("nan")),
    *(np.float32("nan"), np.True_, np.array(["cat"]), np.array([]), np.bytes_(b"cat")),
    *("x" * (LABEL_MAX_LENGTH + 1), "a\0b", "\ud800", np.str_("a\0b"), 10**5000),
]


@pytest.mark.parametrize("label", NO_LABELS, ids=lambda label: f"{type(label).__name__}")
@pytest.mark.parametrize("top_k", [0, 2])
def test_what_is_not_a_label_is_an_error_that_names_the_class_and_the_value(label: Any, top_k: int) -> None:
    for one in (returning("decode_predictions", label), returning("predict_batch", [label, "b"])):
        with pytest.raises(InvalidPredictionError, match=r"hooks.Returning returned .*: a label must") as caught:
            one.classify([IMAGE, IMAGE], top_k=top_k)
        assert len(str(caught.value)) < 400
        assert len(caught.value.detail) < 400
        assert "Returning" in caught.value.detail


def test_the_error_shows_what_was_returned() -> None:
    with pytest.raises(InvalidPredictionError, match=r"Returning returned dict \{'label': 'cat'\}"):
        returning("decode_predictions", {"label": "cat"}).predict(IMAGE)


@pytest.mark.parametrize(
    ("prediction", "clean"),
    [
        (Prediction("a"), ("a", None, None)),
        (Prediction("a", 0.5, 3), ("a", 0.5, 3)),
        (Prediction(np.str_("a"), np.float32(0.5), np.int64(3)), ("a", 0.5, 3)),
        (Prediction("a", np.float64(0.5), np.uint8(3)), ("a", 0.5, 3)),
        (Prediction("a", np.float16(0.5), np.array(3)), ("a", 0.5, 3)),
        (Prediction("a", 1, 0), ("a", 1.0, 0)),
        (Prediction("a", np.int32(1)), ("a", 1.0, None)),
    ],
)
def test_scores_and_class_ids_become_plain_numbers(prediction: Any, clean: Any) -> None:
    (found,) = returning("decode_scores", [prediction]).classify([IMAGE], top_k=1)
    (one,) = found.predictions
    assert one == clean
    assert (type(one), type(one.label), type(one.score), type(one.class_id)) == (Prediction, *map(type, clean))


NAN = float("nan")


NO_SCORES: list[Any] = [np.True_, [0.5], {}, 1j, np.array([0.5]), np.datetime64("2026")]


@pytest.mark.parametrize(
    "predictions",
    [
        *(None, "a", {"a": 0.5}, 7, [None], ["a"], [("a", 0.5)], [["a", 0.5, 1]], iter([]), [Prediction(None)]),
        *([Prediction("a", one)] for one in (NAN, float("inf"), -float("inf"), np.float32("nan"), "1", True, 10**400)),
        *([Prediction("a", one)] for one in NO_SCORES),
        *([Prediction("a", 0.5, one)] for one in (-1, 0.5, "1", True, 2**63, np.float32(1), [1])),
        [Prediction("a", 0.5), Prediction("b", NAN)],
    ],
)
def test_what_is_not_a_prediction_is_an_error(predictions: Any) -> None:
    with pytest.raises(InvalidPredictionError, match="Returning returned"):
        returning("decode_scores", predictions).classify([IMAGE], top_k=5)


def test_more_predictions_than_asked_for_are_left_out() -> None:
    one = returning("decode_scores", [Prediction(str(number)) for number in range(9)])
    assert one.classify([IMAGE], top_k=2)[0].predictions == [("0", None, None), ("1", None, None)]


@pytest.mark.parametrize("hook", ["predict_batch", "process_batch"])
@pytest.mark.parametrize("results", [None, 7, "ab", b"ab", {"a": 1, "b": 2}, {1, 2}, iter("ab"), np.array("ab")])
def test_a_batch_hook_that_returns_no_list_is_an_error(hook: str, results: Any) -> None:
    with pytest.raises(InvalidPredictionError, match=f"Returning returned .*: {hook} must return a list"):
        returning(hook, results).classify([IMAGE, IMAGE])


@pytest.mark.parametrize("hook", ["predict_batch", "process_batch"])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_too_few_or_too_many_results_are_an_error(hook: str, count: int) -> None:
    with pytest.raises(InvalidPredictionError, match=f"{hook} must return 2 results, one for each image, not {count}"):
        returning(hook, ["a"] * count).classify([IMAGE, IMAGE])


@pytest.mark.parametrize("labels", [("a", "b"), np.array(["a", "b"])])
def test_tuples_and_arrays_of_labels_are_lists(labels: Any) -> None:
    assert [one.label for one in returning("predict_batch", labels).classify([IMAGE, IMAGE])] == ["a", "b"]


@pytest.mark.parametrize("hook", [*HOOKS, "predict_batch"])
@pytest.mark.parametrize(
    "error",
    [SystemExit(0), SystemExit("x" * 9999), KeyboardInterrupt(), GeneratorExit(), MemoryError(), RecursionError(),
     asyncio.CancelledError(), BaseException(), BaseExceptionGroup("", [SystemExit()]), SystemExit(Unshowable())],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_would_end_the_process_fails_these_images_only(hook: str, error: BaseException) -> None:
    images = [IMAGE] if hook == "process_prediction" else [IMAGE, IMAGE]
    with pytest.raises(InvalidPredictionError, match=f"Raising raised {type(error).__name__}") as caught:
        raising(hook, error).classify(images, top_k=1)
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is error
    assert "xxx" not in caught.value.detail


@pytest.mark.parametrize("hook", HOOKS)
def test_other_exceptions_of_a_hook_pass_as_they_are(hook: str) -> None:
    images = [IMAGE] if hook == "process_prediction" else [IMAGE, IMAGE]
    error = ZeroDivisionError("a fault of the class")
    with pytest.raises(ZeroDivisionError) as caught:
        raising(hook, error).classify(images, top_k=1)
    assert caught.value is error


def test_a_worker_process_that_celery_ends_while_a_hook_runs_ends() -> None:
    billiard = types.ModuleType("billiard.common")
    exec("def on_sigterm(signum, frame): raise SystemExit(241)", billiard.__dict__)
    with pytest.raises(SystemExit), contained(Complete()):
        billiard.on_sigterm(15, None)


def test_deep_recursion_in_a_hook_fails_its_image_only() -> None:
    class Endless(Complete):
        def decode_predictions(self, pred: Any) -> str:
            return self.decode_predictions(pred)

    with pytest.raises(InvalidPredictionError, match="Endless raised RecursionError"):
        Endless().predict(IMAGE)
