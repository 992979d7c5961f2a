"""Asks a classificator about images, at the version of its model that was chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import requests
from PIL import Image

from moon_vision_challenge.classification.abstract_classificator import Classification, Classificator
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.serving import client, metadata


class VersionChoice(NamedTuple):
    """The version of a model that a client wants: by its number, by its label, or, with neither, the newest."""

    number: int | None = None
    label: str = ""


NEWEST = VersionChoice()


def classify(
    classificator: Classificator, rgb_images: Sequence[Image.Image], *, version: VersionChoice = NEWEST, top_k: int = 0
) -> list[Classification]:
    """What the chosen version of the model says about images. Raises ClassificationError."""
    if version != NEWEST:
        classificator = classificator.at_version(version.number, label=version.label)
    try:
        return classificator.classify(rgb_images, top_k=top_k)
    except requests.RequestException as error:  # from a classificator that calls its model server itself
        raise client.translate_error(error) from error


def classify_and_tell_version(
    classificator: Classificator, rgb_images: Sequence[Image.Image], *, version: VersionChoice, top_k: int
) -> tuple[list[Classification], int | None]:
    """Also tell the version that answered. Raises ClassificationError.

    The model server's answer to a prediction does not say it. So when no number was asked for, the number that the
    server means is read from the model's status (kept for a few seconds), and then that number is asked.

    Returns:
        The version is None if the server does not say, or if no version can be put into the classificator's URL.
    """
    number = version.number if version.number is not None else _find_version(classificator, version)
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
    # A newer version has taken its place since the status was read.
    metadata.statuses.forget(classificator.model_url)
    number = _find_version(classificator, version)
    return classify(classificator, rgb_images, version=VersionChoice(number, version.label), top_k=top_k), number


def _find_version(classificator: Classificator, version: VersionChoice) -> int | None:
    if not version.label:
        return metadata.statuses[classificator.model_url].newest
    try:
        return metadata.version_of_label(classificator.at_version(label=version.label).model_url)
    except UnknownVersionLabelError:
        raise
    except ClassificationError:  # asking the model will tell what is wrong
        return None
