"""One class that an image may be of."""

from typing import NamedTuple

LABEL_MAX_LENGTH = 1000
"""Characters. The longest label of ImageNet-21k, with all its synonyms, has fewer than 300."""


class Prediction(NamedTuple):
    """One class that an image may be of."""

    label: str
    score: float | None = None
    """As the model gives it, most often a probability. None: the classificator does not tell scores."""
    class_id: int | None = None
    """Its index among the classificator's labels. None: not known."""
