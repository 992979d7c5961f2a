"""Runs a classificator on images, with the chosen version of its model."""

from collections.abc import Sequence
from typing import NamedTuple

import requests
from PIL import Image

from moon_vision_challenge.classification.abstract_classificator import Classification, Classificator
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelNotAvailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.serving import client, metadata
from moon_vision_challenge.classification.serving.bulkhead import bulkhead_of
from moon_vision_challenge.classification.serving.metadata import ModelStatus
from moon_vision_challenge.observability import metrics


class VersionChoice(NamedTuple):
    """The version of a model that a client requests: by number, by label, or the newest if neither is given."""

    number: int | None = None
    label: str = ""


NEWEST = VersionChoice()

_OPERATOR_RETRY_AFTER_S = 60  # time for an operator to repair the model


def classify(
    classificator: Classificator, rgb_images: Sequence[Image.Image], *, version: VersionChoice = NEWEST, top_k: int = 0
) -> list[Classification]:
    """Classify the images with the chosen version of the model. Raises ClassificationError."""
    model_url = classificator.model_url
    if version != NEWEST:
        classificator = classificator.at_version(version.number, label=version.label)
    model_type = classificator.model_type
    metrics.child(metrics.batch_size, model_type).observe(len(rgb_images))
    try:
        with metrics.timed(metrics.prediction_seconds, model_type), bulkhead_of(model_url).call():
            return classificator.classify(rgb_images, top_k=top_k)
    except ModelNotAvailableError as error:
        _tell_state(error, metadata.statuses[model_url], version)
        raise
    except requests.RequestException as error:  # from a classificator that calls its model server directly
        raise client.translate_error(error) from error


def _tell_state(error: ModelNotAvailableError, status: ModelStatus, version: VersionChoice) -> None:
    """Describe the state of the model in the error. Suggest a retry only where it helps without an operator."""
    if status.versions is None or status.serves(version.number):  # the cause is over, or unknown
        return
    if status.is_loading:
        error.detail = "The model server is loading this model. Try again later."
        return
    error.retry_after_s = _OPERATOR_RETRY_AFTER_S
    if version != NEWEST:
        error.detail = "The model server does not serve this version of the model. Request another version."
    elif status.versions:
        error.detail = "The model server could not load this model. Choose another model_type, or tell the operator."
    else:
        error.detail = "The model server does not serve this model. Choose another model_type, or tell the operator."


def classify_and_tell_version(
    classificator: Classificator, rgb_images: Sequence[Image.Image], *, version: VersionChoice, top_k: int
) -> tuple[list[Classification], int | None]:
    """Do what `classify` does, and also return the version that answered. Raises ClassificationError.

    A model server's reply to a prediction request does not name the version. If the client did not request a number,
    the current number is read from the model's status (cached for a few seconds), and that number is requested.

    Returns:
        The results, and the version. The version is None if the server does not report it, or if the classificator's
        URL cannot name one.
    """
    number = find_version(classificator, version)
    if number is None:
        return classify(classificator, rgb_images, version=version, top_k=top_k), None
    try:
        pinned = VersionChoice(number)
        return classify(classificator, rgb_images, version=pinned, top_k=top_k), number
    except (ModelVersionNotAvailableError, VersionNotSelectableError) as error:
        if version.number is not None:
            raise
        if isinstance(error, VersionNotSelectableError):
            return classify(classificator, rgb_images, version=version, top_k=top_k), None
    # A newer version has replaced the pinned one since the status was read.
    metadata.statuses.forget(classificator.model_url)
    number = find_version(classificator, version)
    return classify(classificator, rgb_images, version=VersionChoice(number, version.label), top_k=top_k), number


def find_version(classificator: Classificator, version: VersionChoice) -> int | None:
    """Return the number of the chosen version, as of a few seconds ago, or None if the server does not report it.

    Raises UnknownVersionLabelError.
    """
    if version.number is not None:
        return version.number
    if not version.label:
        return metadata.statuses[classificator.model_url].newest
    try:
        return metadata.version_of_label(classificator.at_version(label=version.label).model_url)
    except UnknownVersionLabelError:
        raise
    except ClassificationError:  # the prediction request shows the cause
        return None
