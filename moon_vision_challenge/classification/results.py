"""Checks what the hooks of a classificator return or raise. Values that pass can be stored and sent as JSON."""

import math
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from moon_vision_challenge.classification.exceptions import InvalidPredictionError
from moon_vision_challenge.model_io.prediction import LABEL_MAX_LENGTH, Prediction

_MAX_CLASS_ID = 2**63 - 1  # fits a bigint and most JSON parsers

_cut = reprlib.Repr()
_cut.maxstring = _cut.maxother = 80
_cut.maxlevel = 3


STORED_PREDICTIONS = 5
"""How many of the most probable classes a row keeps."""


class Classification(NamedTuple):
    """A classificator's result for one image."""

    label: str
    predictions: Sequence[Prediction] = ()
    """The most probable classes, best first. Empty if none were requested."""


def clean_label(value: Any, source: object) -> str:
    """Return the label that the classificator `source` returned, as a plain string. Raises InvalidPredictionError."""
    label = _plain(value)
    if isinstance(value, np.generic | np.ndarray) and type(label) in (int, float) and math.isfinite(label):
        label = str(label)
    if type(label) is not str:
        raise _unusable(source, value, "a label must be a string")
    if not label.isascii():
        try:
            label.encode()
        except UnicodeEncodeError:
            raise _unusable(source, value, "a label must be text that UTF-8 can encode") from None
    if "\0" in label:
        raise _unusable(source, value, "a label must not contain NUL characters")
    if len(label) > LABEL_MAX_LENGTH:
        raise _unusable(source, value, f"a label must have at most {LABEL_MAX_LENGTH} characters, not {len(label)}")
    return label


def clean_predictions(values: Any, top_k: int, source: object) -> list[Prediction]:
    """Return the first `top_k` predictions, in plain Python types. Raises InvalidPredictionError."""
    if not isinstance(values, list | tuple):
        raise _unusable(source, values, "decode_scores must return a list of Prediction")
    return [_clean_prediction(value, source) for value in values[:top_k]]


def one_for_each(values: Any, count: int, source: object, hook: str) -> list[Any]:
    """Return a hook's results as a list, one for each of `count` images. Raises InvalidPredictionError."""
    if not (isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim)):
        raise _unusable(source, values, f"{hook} must return a list")
    if len(values) != count:
        raise _unusable(source, values, f"{hook} must return {count} results, one for each image, not {len(values)}")
    return list(values)


@contextmanager
def contained(source: object) -> Iterator[None]:
    """Turn exceptions that would end the process, or that an expensive image causes, into a failure of these images.

    Other exceptions propagate: they are bugs in a class, and are logged with their traceback. The SystemExit with which
    Celery ends its worker process after a signal also propagates.

    Raises:
        InvalidPredictionError: for MemoryError, RecursionError, and every exception that is not an Exception, such as
            SystemExit, KeyboardInterrupt, and asyncio.CancelledError.
    """
    try:
        yield
    except (MemoryError, RecursionError) as error:
        raise _raised(source, error) from error
    except Exception:
        raise
    except BaseException as error:
        if _is_celerys(error.__traceback__):
            raise
        raise _raised(source, error) from error


def _clean_prediction(value: Any, source: object) -> Prediction:
    if not isinstance(value, Prediction):
        raise _unusable(source, value, "decode_scores must return a list of Prediction")
    return Prediction(
        clean_label(value.label, source), _clean_score(value.score, source), _clean_class_id(value.class_id, source)
    )


def _clean_score(value: Any, source: object) -> float | None:
    if type(value) is float and math.isfinite(value):
        return value
    score = _plain(value)
    if score is None:
        return None
    try:
        if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(number := float(score)):
            return number
    except OverflowError:
        pass
    raise _unusable(source, value, "a score must be a finite number or None")


def _clean_class_id(value: Any, source: object) -> int | None:
    class_id = _plain(value)
    if class_id is None or (type(class_id) is int and 0 <= class_id <= _MAX_CLASS_ID):
        return class_id
    raise _unusable(source, value, "a class_id must be a whole number, 0 or more, or None")


def _plain(value: Any) -> Any:
    """Convert a NumPy scalar, or an instance of a subclass of str, to the plain Python value."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return str.__str__(value) if isinstance(value, str) else value


def _unusable(source: object, value: Any, rule: str) -> InvalidPredictionError:
    what = f"{_name(source)} returned {_shown(value)}: {rule}."
    return InvalidPredictionError(what, detail=f"The model gave no usable answer: {what}")


def _raised(source: object, error: BaseException) -> InvalidPredictionError:
    what = f"{_name(source)} raised {type(error).__name__}"
    return InvalidPredictionError(f"{what}: {_shown(error)}", detail=f"The model gave no usable answer: {what}.")


def _name(source: object) -> str:
    return f"{type(source).__module__}.{type(source).__qualname__}"


def _shown(value: Any) -> str:
    """Return the start of a value as text. A hook can return anything, even a value that cannot be shown."""
    try:
        text = _cut.repr(value)
    except BaseException:  # noqa: BLE001  # like a hook, a __repr__ can raise anything
        text = "a value that cannot be shown"
    kind = type(value).__name__
    return (text if kind in text or type(value) in (str, type(None), bool) else f"{kind} {text}")[:200]


def _is_celerys(traceback: TracebackType | None) -> bool:
    """Return whether the exception comes from a signal handler of Celery's process pool, and not from a hook."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith("billiard.")
