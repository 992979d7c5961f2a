"""One class that an image may be of."""

from typing import NamedTuple

LABEL_MAX_LENGTH = 1000
"""Characters. The longest label of ImageNet-21k, with all its synonyms, has fewer than 300."""


class Prediction(NamedTuple):
    """One class that an image may be of."""

    label: str
    score: float | None = None
    """As the model returns it, usually a probability. None if the classificator does not return scores."""
    class_id: int | None = None
    """Its index among the classificator's labels. None if it is not known."""
