"""`manage.py check`: what is registered, compared with what is served.

The dispatcher itself refuses a duplicate model_type, at start-up.
https://docs.djangoproject.com/en/5.2/topics/checks/
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.models_config import read_version_labels
from moon_vision_challenge.text_format import ConfigError


def check_models_config(**_: Any) -> Iterable[CheckMessage]:
    """Every model that is asked at TF_SERVING_URL is listed in models.config."""
    if not settings.MODELS_CONFIG:
        return
    try:
        listed = read_version_labels(Path(settings.MODELS_CONFIG))
    except (OSError, ConfigError) as error:
        yield Warning(
            f"MODELS_CONFIG cannot be read: {error}",
            hint="Name the model server's models.config, or set MODELS_CONFIG to nothing to skip this check.",
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


def check_labels(**_: Any) -> Iterable[CheckMessage]:
    """A classificator has as many labels as its model has outputs, one more output for a background allowed.

    Only the model server knows: without it, nothing is found. A model that it could not load is reported.
    """
    for model_type in dispatcher:
        classificator = dispatcher[model_type]
        if not isinstance(classificator, ServedModelClassificator):
            continue
        try:
            outputs = classificator.wire_form.output.classes_count
        except (ModelServerUnavailableError, ModelServerTimeoutError):
            return  # the others would wait for it, too
        except ModelNotAvailableError:
            yield from _why_not_loaded(classificator)
            continue
        except ClassificationError:
            continue
        labels = len(classificator.labels or ())
        if outputs is not None and outputs - labels not in (0, 1):
            yield Error(
                f"{model_type}: {labels} labels, and a model with {outputs} outputs.",
                hint="Give the labels of this model, one for each output.",
                obj=type(classificator),
                id="classification.E001",
            )


def _why_not_loaded(classificator: Classificator) -> Iterable[CheckMessage]:
    status = metadata.statuses[classificator.model_url]
    if status.versions and status.newest is None and status.reason:
        yield Warning(
            f"{classificator.model_type}: the model server could not load this model: {status.reason}",
            hint="Repair this version or add another one. The model server finds either by itself.",
            obj=type(classificator),
            id="classification.W006",
        )
