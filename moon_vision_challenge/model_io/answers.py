"""Chooses the output of a model to read, and turns it into predictions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_io.errors import AnswerError, DeclarationError
from moon_vision_challenge.model_io.prediction import LABEL_MAX_LENGTH, Prediction
from moon_vision_challenge.model_io.types import Tensor, shown_shape

NO_LABEL = "none"
"""The label if a model has several independent labels, and no score is above its threshold."""

_USUAL_OUTPUTS = ("probabilities", "classes", "output_probability")
"""The usual names of the main output among several, in the exports of TensorFlow and scikit-learn."""


class OutputForm(NamedTuple):
    """The output that is read."""

    name: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    """Including the batch. Empty if it is not known."""

    @property
    def classes_count(self) -> int | None:
        """The number of scores per image. None if the output holds no scores, or if the metadata do not say."""
        size = math.prod(self.shape[1:]) if len(self.shape) > 1 else -1
        is_index = size == 1 and self.dtype.startswith(("DT_INT", "DT_UINT"))
        return size if self.dtype != "DT_STRING" and min(self.shape[1:], default=-1) > 0 and not is_index else None


def read_output(outputs: Mapping[str, Tensor], declared: Declaration) -> OutputForm:
    """Return the output to read. Raises DeclarationError if it is ambiguous or does not exist."""
    if not outputs:
        return OutputForm(declared.output or "")
    name = declared.output or _likely_output(outputs, declared)
    if name not in outputs:
        problem = f"The model has no output {name!r}." if name else "The model has several outputs."
        known = ", ".join(repr(one) for one in outputs)
        raise DeclarationError(problem, f"Write output = one of {known}.", missing="" if name else "output")
    form = OutputForm(name, outputs[name].dtype, outputs[name].shape)
    _refuse_what_is_not_scores(form, declared)
    return form


def _refuse_what_is_not_scores(form: OutputForm, declared: Declaration) -> None:
    if form.dtype == "DT_STRING":
        return
    if sum(size > 1 for size in form.shape[1:]) > 1:
        raise DeclarationError(
            f"The output {form.name!r} has the shape {shown_shape(form.shape)}, "
            "but a classifier returns one score per class.",
            "For a detector or a segmentation model, write a class with hooks of your own.",
        )
    if form.dtype.startswith(("DT_INT", "DT_UINT")) and form.classes_count and declared.activation != "none":
        dtype = form.dtype.removeprefix("DT_").lower()
        raise DeclarationError(
            f"{declared.activation} cannot be applied to whole numbers ({dtype}): quantized scores have another scale.",
            "Export the model with an output of floats.",
        )


def decode(row: Any, form: OutputForm, declared: Declaration, top_k: int) -> list[Prediction]:
    """Return the `top_k` most probable classes of one image, best first. With a threshold, only those above it.

    Args:
        row: one prediction in the row format of the REST API, or an array of its content.

    Raises:
        AnswerError: the row cannot be read as declared.
    """
    value = _pick(row, form)
    try:
        if isinstance(value, np.ndarray):
            value = _scores_or_list(value)
        if isinstance(value, dict):
            return _by_label(value, declared)[:top_k]
        if isinstance(value, list) and len(form.shape) > 2:  # N x C x 1 x 1
            value = _flattened(value)
        if isinstance(value, list) and len(value) == 1 and _is_one_answer(value[0], declared):
            value = value[0]  # N x 1
        match value:
            case [str(), *_] if all(isinstance(label, str) for label in value):
                scores = row.get("scores") if isinstance(row, dict) else None
                found = zip(value, scores or [None] * len(value), strict=False)
                return [Prediction(label, score, _class_id(label, declared)) for label, score in found][:top_k]
            case list() | np.ndarray():
                return _best(value, declared, top_k)
            case str():
                return [Prediction(value, None, _class_id(value, declared))]
            case int() if not isinstance(value, bool):
                return [_class(value, declared)]
            case float():
                return _one_of_two(value, declared)[:top_k]
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, AnswerError):
            raise
        raise AnswerError(f"no prediction: {error!r}") from error
    raise AnswerError(f"neither scores nor classes: {str(row)[:100]}")


def label_of(predictions: Sequence[Prediction], declared: Declaration) -> str:
    """Return the best label. With a threshold, return all labels above it, separated by commas, or `none`."""
    if declared.threshold is None:
        return predictions[0].label
    text = ", ".join(prediction.label for prediction in predictions) or NO_LABEL
    return text if len(text) <= LABEL_MAX_LENGTH else text[:LABEL_MAX_LENGTH].rpartition(", ")[0]


def _likely_output(outputs: Mapping[str, Tensor], declared: Declaration) -> str:
    if len(outputs) == 1:
        return next(iter(outputs))
    for usual in _USUAL_OUTPUTS:
        if usual in outputs:
            return usual
    counts = {len(declared.labels), len(declared.labels) + 1} if declared.labels else set()
    fitting = [name for name, one in outputs.items() if OutputForm("", one.dtype, one.shape).classes_count in counts]
    return fitting[0] if len(fitting) == 1 else ""


def _pick(row: Any, form: OutputForm) -> Any:
    """Return the value to read from a row. If there are several outputs, a row names them."""
    if not isinstance(row, dict):
        return row
    for name in (form.name, *_USUAL_OUTPUTS):
        if name in row:
            return row[name]
    return row  # label → probability


def _by_label(probabilities: dict[str, Any], declared: Declaration) -> list[Prediction]:
    """Read scikit-learn's ZipMap: label → probability, or class → probability if the classes are numbers."""
    scores = list(probabilities.values())
    if not scores or not all(type(score) in (int, float) for score in scores):
        raise AnswerError(f"neither scores nor classes: {str(probabilities)[:100]}")
    found = [_named(key, score, declared.labels) for key, score in probabilities.items()]
    return _above(sorted(found, key=lambda one: one.score or 0.0, reverse=True), declared)


def _named(key: str, score: float, labels: Sequence[str] | None) -> Prediction:
    if labels is None:
        return Prediction(key, score)
    if key in labels:
        return Prediction(key, score, labels.index(key))
    if key.isdecimal() and int(key) < len(labels):
        return Prediction(labels[int(key)], score, int(key))
    raise AnswerError(f"{key[:100]!r} is not one of the {len(labels)} labels")


def _is_one_answer(value: Any, declared: Declaration) -> bool:
    """Return whether the only number of a row is an index, or the single score of two labels."""
    if isinstance(value, int) and not isinstance(value, bool):
        return len(declared.labels or ()) != 1
    return isinstance(value, float) and len(declared.labels or ()) == 2


def _flattened(value: list[Any]) -> list[Any]:
    found: list[Any] = _flat(np.asarray(value)).tolist()
    return found


def _flat(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    if array.size != max(array.shape):
        raise AnswerError(f"scores of the shape {array.shape}, of which only one size may be above 1")
    return array.reshape(-1)


def _one_of_two(score: float, declared: Declaration) -> list[Prediction]:
    """Read a single sigmoid: the score of the second of two labels."""
    labels = _labels(declared)
    if len(labels) != 2:
        raise AnswerError(f"one score of {len(labels)} classes")
    if declared.activation == "softmax":
        raise AnswerError("softmax turns a single score into 1: write activation = 'sigmoid' or activation = 'none'")
    [score] = _activated([score], declared)
    if not 0 <= score <= 1:
        raise AnswerError(f"the one score {score} is not a probability: write activation = 'sigmoid'")
    found = [Prediction(labels[1], score, 1), Prediction(labels[0], 1 - score, 0)]
    return found if score > 0.5 else found[::-1]


def _scores_or_list(value: "np.ndarray[Any, Any]") -> "list[Any] | np.ndarray[Any, Any]":
    """Keep scores as an array, because a list of a thousand numbers costs more than all later steps."""
    if value.ndim > 1:  # N x C x 1 x 1
        value = _flat(value)
    return value if value.dtype.kind == "f" and value.size > 1 else [_number(one) for one in value]


def _number(value: Any) -> Any:
    """Return a Python number. A float has the fewest digits that identify it, as in JSON."""
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def _best(scores: "list[Any] | np.ndarray[Any, Any]", declared: Declaration, top_k: int) -> list[Prediction]:
    labels = _labels(declared)
    background = len(scores) - len(labels)
    if background not in (0, 1):
        raise AnswerError(f"{len(scores)} scores of {len(labels)} classes")
    if declared.activation != "none":
        scores = _activated(scores, declared)
    if background:
        scores = scores[1:]
    if declared.threshold is not None:
        top_k = len(scores)
    if top_k == 1:  # every request without scores takes this path, at a third of the cost of sorting
        indices = [int(scores.argmax()) if isinstance(scores, np.ndarray) else scores.index(max(scores))]
    else:
        indices = np.argsort(-np.array(scores), kind="stable")[:top_k].tolist()
    if not isinstance(scores[indices[0]], int | float | np.floating):
        raise AnswerError("scores that are not numbers")
    return _above([Prediction(labels[index], _number(scores[index]), index) for index in indices], declared)


def _above(predictions: list[Prediction], declared: Declaration) -> list[Prediction]:
    """Return the predictions above the threshold, if there is one."""
    threshold = declared.threshold
    if threshold is None:
        return predictions

    def is_above(one: Prediction) -> bool:
        limit = threshold[one.class_id or 0] if isinstance(threshold, tuple) else threshold
        return one.score is not None and one.score > limit

    return [one for one in predictions if is_above(one)]


def _activated(scores: "Sequence[float] | np.ndarray[Any, Any]", declared: Declaration) -> list[float]:
    logits = np.array(scores, np.float64)
    if declared.activation == "softmax":
        logits = np.exp(logits - logits.max())
        logits /= logits.sum()
    elif declared.activation == "sigmoid":
        logits = 0.5 * (1 + np.tanh(0.5 * logits))  # this form cannot overflow
    found: list[float] = logits.tolist()
    return found


def _class(index: int, declared: Declaration) -> Prediction:
    labels = _labels(declared)
    if declared.has_background:
        index -= 1
    if index == -1 and declared.has_background:
        return Prediction("background")
    if not 0 <= index < len(labels):
        raise AnswerError(f"a class index outside the {len(labels)} labels")
    return Prediction(labels[index], None, index)


def _class_id(label: str, declared: Declaration) -> int | None:
    labels = declared.labels or ()
    return labels.index(label) if label in labels else None


def _labels(declared: Declaration) -> Sequence[str]:
    if not declared.labels:
        raise AnswerError(
            "the model returns scores or an index, but there are no labels: write labels = read_labels(path)"
        )
    return declared.labels
