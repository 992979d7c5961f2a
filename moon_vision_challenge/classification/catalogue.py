"""The state of the registered models, as consumers see it.

Answers come from memory. The model server is queried at most every few seconds, with a timeout of one second.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from django.conf import settings

from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.metadata import ModelStatus, VersionStatus
from moon_vision_challenge.classification.serving.models_config import read_version_labels
from moon_vision_challenge.text_format import ConfigError

logger = logging.getLogger(__name__)


class ModelState(StrEnum):
    AVAILABLE = "available"
    LOADING = "loading"
    UNAVAILABLE = "unavailable"
    """The model server answers, but does not serve this model."""
    UNKNOWN = "unknown"
    """The model server does not answer."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One model of the catalogue."""

    model_type: str
    state: ModelState
    versions: Sequence[VersionStatus]
    """Newest first."""
    version_labels: dict[str, int]
    """From models.config, because the model server's REST API does not report them."""
    input_size: int | None
    """Height and width of the model's input, in pixels. None if they differ or are not declared."""
    labels: Sequence[str] | None
    """The label of each class. None if its classificator does not declare them."""
    reason: str
    """Why the model is not ready, or what its operator should know. Empty if the model server reports nothing."""

    @property
    def is_ready(self) -> bool:
        """Whether the model can answer requests now."""
        return self.state == ModelState.AVAILABLE

    @property
    def classes_count(self) -> int | None:
        return None if self.labels is None else len(self.labels)


def list_models() -> list[CatalogueEntry]:
    """Return all registered models, in the dispatcher's order."""
    labels = _read_version_labels()
    with ThreadPoolExecutor() as threads:  # so that a model server that hangs costs one timeout, not one per model
        return list(threads.map(lambda model_type: _entry(model_type, labels), dispatcher))


def get_model(model_type: str) -> CatalogueEntry:
    """Return one registered model. Raises UnknownModelTypeError."""
    return _entry(model_type, _read_version_labels())


def get_class_labels(model_type: str) -> Sequence[str] | None:
    """Return a model's labels, or None if its classificator declares none. Raises UnknownModelTypeError."""
    classificator = dispatcher[model_type]
    return classificator.labels if isinstance(classificator, ServedModelClassificator) else None


def served_name(classificator: Classificator) -> str | None:
    """Return the model's name on the configured model server, or None if another server serves it."""
    address = ModelAddress.parse(classificator.model_url)
    configured = ModelAddress.on(settings.TF_SERVING_URL, classificator.model_type)
    return address.name if address and address.base == configured.base else None


def _entry(model_type: str, version_labels: dict[str, dict[str, int]]) -> CatalogueEntry:
    classificator = dispatcher[model_type]
    status = metadata.statuses[classificator.model_url]
    served = classificator if isinstance(classificator, ServedModelClassificator) else None
    return CatalogueEntry(
        model_type=model_type,
        state=_state(status),
        versions=status.versions or [],
        version_labels=version_labels.get(served_name(classificator) or "", {}),
        input_size=_side(served.input_size) if served else None,
        labels=served.labels if served else None,
        reason=status.reason,
    )


def _state(status: ModelStatus) -> ModelState:
    if status.versions is None:
        return ModelState.UNKNOWN
    if status.serves(None):
        return ModelState.AVAILABLE
    return ModelState.LOADING if status.is_loading else ModelState.UNAVAILABLE


def _side(size: int | tuple[int, int] | None) -> int | None:
    return size[0] if isinstance(size, tuple) and size[0] == size[1] else size if isinstance(size, int) else None


def _read_version_labels() -> dict[str, dict[str, int]]:
    if not settings.MODELS_CONFIG:
        return {}
    try:
        return read_version_labels(Path(settings.MODELS_CONFIG))
    except (OSError, ConfigError) as error:
        logger.warning("cannot read the version labels: %s", error)
        return {}
