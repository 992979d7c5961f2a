"""System checks for `manage.py check`: whether the registered models are served as declared.

The dispatcher itself rejects a duplicate model_type at startup.
https://docs.djangoproject.com/en/5.2/topics/checks/
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # Django's name

from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.classification.served_model import Encoding, ServedModelClassificator, choose_wire_form
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.metadata import Signature
from moon_vision_challenge.classification.serving.models_config import read_version_labels
from moon_vision_challenge.model_io.answers import OutputForm
from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.inputs import FLOATS
from moon_vision_challenge.model_io.prediction import LABEL_MAX_LENGTH
from moon_vision_challenge.model_io.types import Numbers
from moon_vision_challenge.text_format import ConfigError


def check_models_config(**_: Any) -> Iterable[CheckMessage]:
    """Check that every model that TF_SERVING_URL serves is listed in models.config."""
    if not settings.MODELS_CONFIG:
        return
    try:
        listed = read_version_labels(Path(settings.MODELS_CONFIG))
    except (OSError, ConfigError) as error:
        yield Warning(
            f"MODELS_CONFIG cannot be read: {error}",
            hint="Set MODELS_CONFIG to the model server's models.config, or leave it empty to skip this check.",
            id="classification.W001",
        )
        return
    for model_type in dispatcher:
        name = catalogue.served_name(dispatcher[model_type])
        if name is not None and name not in listed:
            yield Warning(
                f"{model_type}: the model {name} is not listed in {settings.MODELS_CONFIG}.",
                hint=f"List it: config {{ name: '{name}' base_path: '/models/{name}/' }}",
                obj=type(dispatcher[model_type]),
                id="classification.W002",
            )


def check_declarations(**_: Any) -> Iterable[CheckMessage]:
    """Check that the declarations of served models are consistent. This check does not need the model server."""
    for classificator in _served():
        yield from _check_labels(classificator)
        yield from _check_scale(classificator)


def check_served_models(**_: Any) -> Iterable[CheckMessage]:
    """Check that the declarations of served models match what the model server reports.

    Without the model server, this check finds nothing. It also reports models that the server could not load.
    """
    for classificator in _served():
        try:
            signatures = metadata.signatures[classificator.model_url]
        except (ModelServerUnavailableError, ModelServerTimeoutError):
            return  # every other model would wait for the same timeout
        except ModelNotAvailableError:
            yield from _why_not_loaded(classificator)
            continue
        except ClassificationError:
            continue
        yield from _compare(classificator, signatures)


def _served() -> Iterator[ServedModelClassificator]:
    for model_type in dispatcher:
        if isinstance(classificator := dispatcher[model_type], ServedModelClassificator):
            yield classificator


def _check_labels(classificator: ServedModelClassificator) -> Iterable[CheckMessage]:
    for index, label in enumerate(classificator.declaration.labels or ()):
        if len(label) > LABEL_MAX_LENGTH or "\0" in label:
            yield Error(
                f"{classificator.model_type}: the label of class {index} has {len(label)} characters, or a NUL: "
                f"{label[:40]!r}...",
                hint=f"Write labels of at most {LABEL_MAX_LENGTH} characters.",
                obj=type(classificator),
                id="classification.E002",
            )


def _why_not_loaded(classificator: Classificator) -> Iterable[CheckMessage]:
    status = metadata.statuses[classificator.model_url]
    if status.versions and status.newest is None and status.reason:
        yield Warning(
            f"{classificator.model_type}: the model server could not load this model: {status.reason}",
            hint="Repair this version or add another one. The model server picks up either automatically.",
            obj=type(classificator),
            id="classification.W006",
        )


def _check_scale(classificator: ServedModelClassificator) -> Iterable[CheckMessage]:
    """Check that `scale` is for pixels from 0 to 255. Most trainers give mean and standard deviation for 0 to 1."""
    declared = classificator.declaration
    if max(np.ravel(declared.scale)) >= 1:
        return
    mean, scale = _times_255(declared.mean), _times_255(declared.scale)
    if max(np.ravel(declared.scale)) < 0.01:  # the trainer's factor of 1/255 or 1/127.5
        mean, scale = declared.mean, tuple((1 / np.atleast_1d(declared.scale)).round(3).tolist())
    yield Warning(
        f"{classificator.model_type}: scale is {declared.scale}, but pixels go from 0 to 255 and are divided by it.",
        hint=f"Write mean = {mean}, scale = {scale if not isinstance(scale, tuple) or len(scale) > 1 else scale[0]}",
        obj=type(classificator),
        id="classification.W003",
    )


def _times_255(value: Numbers) -> Numbers:
    many = tuple(round(255 * one, 3) for one in np.ravel(value).tolist())
    return many if isinstance(value, tuple) else many[0]


def _compare(classificator: ServedModelClassificator, signatures: Mapping[str, Signature]) -> Iterable[CheckMessage]:
    name, declared = classificator.model_type, classificator.declaration
    try:
        form = choose_wire_form(signatures, declared)
    except DeclarationError as error:
        yield Error(f"{name}: {error.problem}", hint=error.line, obj=type(classificator), id="classification.E003")
        return
    if form is None:
        yield Error(
            f"{name}: none of the model's signatures takes one image: {_shown(signatures)}",
            hint="Write a Classificator with hooks of your own.",
            obj=type(classificator),
            id="classification.E003",
        )
        return
    yield from _compare_labels(classificator, form.output)
    if "logit" in form.output.name.lower() and declared.activation == "none":
        yield Warning(
            f"{name}: the output {form.output.name!r} seems to hold logits, which are not probabilities.",
            hint="Write activation = 'softmax', or 'sigmoid' for independent labels.",
            obj=type(classificator),
            id="classification.W004",
        )
    if form.encoding != Encoding.JPEG and form.input.dtype not in FLOATS and (declared.mean, declared.scale) != (0, 1):
        yield Warning(
            f"{name}: mean and scale are declared, but the model takes integers ({form.input.dtype}).",
            hint="Remove mean and scale, or export the model with an input of floats.",
            obj=type(classificator),
            id="classification.W005",
        )


def _compare_labels(classificator: ServedModelClassificator, output: OutputForm) -> Iterable[CheckMessage]:
    labels, outputs = len(classificator.declaration.labels or ()), output.classes_count
    fits = outputs is None or outputs - labels in (0, 1) or (outputs, labels) == (1, 2)
    if not fits:
        yield Error(
            f"{classificator.model_type}: {labels} labels are declared, but the model has {outputs} outputs.",
            hint=f"Write labels = read_labels(path) with {outputs} labels, one for each output.",
            obj=type(classificator),
            id="classification.E001",
        )
    elif not labels and output.dtype not in ("DT_STRING", ""):
        yield Error(
            f"{classificator.model_type}: no labels are declared, but the model returns numbers ({output.dtype}).",
            hint="Write labels = read_labels(path)",
            obj=type(classificator),
            id="classification.E001",
        )


def _shown(signatures: Mapping[str, Signature]) -> str:
    return "; ".join(
        f"{name} takes {', '.join(f'{alias} {one.dtype} {list(one.shape)}' for alias, one in signature.inputs.items())}"
        for name, signature in signatures.items()
    )[:500]
