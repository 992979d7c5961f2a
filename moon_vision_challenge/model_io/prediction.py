"""A class that an image may belong to."""

from typing import NamedTuple

LABEL_MAX_LENGTH = 1000
"""In characters. The longest label of ImageNet-21k, with all its synonyms, has fewer than 300."""


class Prediction(NamedTuple):
    """A class that an image may belong to."""

    label: str
    score: float | None = None
    """The score that the model returns, usually a probability. None if the classificator does not return scores."""
    class_id: int | None = None
    """The index among the classificator's labels. None if it is not known."""
