"""The contract of a model: write these three hooks, set `model_type`, register the class.

A usual image classifier needs not even these: see `served_model.ServedModelClassificator`.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self, final

from django.conf import settings
from PIL import Image

from moon_vision_challenge.classification import results
from moon_vision_challenge.classification.exceptions import VersionNotSelectableError
from moon_vision_challenge.classification.results import Classification
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.model_io.prediction import Prediction

__all__ = ["Classification", "Classificator", "Prediction"]


class Classificator(ABC):
    """Turns an image into a label with the help of a model server.

    One instance serves all requests, from several threads: it keeps nothing of an image between calls.

    Attributes:
        model_type: the name under which consumers choose this model: at most 100 ASCII letters, digits, `_`, `-` and
            `.`, not first `-` or `.`. Required.
        model_url: the model's `:predict` URL. Without it: TF_SERVING_URL and model_type.
        queue: the Celery queue in which v1 works off this model's images. A worker serves all queues unless it is
            told which: a slow model with a queue of its own, and workers for it (`celery worker --queues=...`) beside
            workers for the others, keeps nobody else waiting.
        min_image_side: the shorter side, in pixels, that this model's preprocessing needs. A large JPEG is then decoded
            at a reduced scale, which is several times faster. None: images always arrive at full size.
    """

    model_type: str
    _model_url: str | None = None

    @property
    def queue(self) -> str:
        return str(settings.INFERENCE_QUEUE)

    @property
    def min_image_side(self) -> int | None:
        return None

    @property
    def model_url(self) -> str:
        return self._model_url or ModelAddress(settings.TF_SERVING_URL, self.model_type).predict

    @model_url.setter
    def model_url(self, url: str) -> None:
        self._model_url = url

    @abstractmethod
    def preprocess_input(self, image: Image.Image) -> Any:
        """Prepare an image (mode RGB, upright, any size) for the model."""

    @abstractmethod
    def process_prediction(self, input_vector: Any) -> dict[str, Any]:
        """Ask the model about what `preprocess_input` returned.

        Use `tf_serving.predict`, or call the model server with `requests`: its errors are understood either way.
        """

    @abstractmethod
    def decode_predictions(self, pred: dict[str, Any]) -> str:
        """Turn what `process_prediction` returned into a label."""

    def decode_scores(self, pred: dict[str, Any], top_k: int) -> list[Prediction]:  # noqa: ARG002  # for those who override it
        """Turn what `process_prediction` returned into the `top_k` (at least 1) most probable classes, best first.

        The first one's label is that of `decode_predictions`. The default knows no more than that label.
        """
        return [Prediction(self.decode_predictions(pred))]

    def process_batch(self, input_vectors: Sequence[Any]) -> list[dict[str, Any]]:
        """Ask the model about several images; one result of `process_prediction` for each, in their order.

        Override it to ask the model once for all.
        """
        return [self.process_prediction(input_vector) for input_vector in input_vectors]

    @final
    def predict(self, image: Image.Image) -> str:
        """Return the label of one RGB image."""
        return self.classify([image])[0].label

    def predict_batch(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the labels of several RGB images, in their order.

        A class that overrides it gets no scores for batches. `process_batch` serves both.
        """
        preds = self.process_batch([self.preprocess_input(image) for image in images])
        return [self.decode_predictions(pred) for pred in preds]

    @final
    def classify(self, images: Sequence[Image.Image], *, top_k: int = 0) -> list[Classification]:
        """Return what this model says about RGB images, in their order.

        What the hooks return is checked: labels are strings of at most LABEL_MAX_LENGTH characters, scores are finite
        floats or None, class ids are integers or None. NumPy scalars are converted.

        Args:
            top_k: how many of the most probable classes to return beside the label. 0: only the label, which is
                cheaper.

        Raises:
            InvalidPredictionError: a hook returned something else, or too few or too many results, or raised
                MemoryError, RecursionError, SystemExit or the like. Ask for each image alone to find which one fails.
            Exception: whatever else a hook raises.
        """
        with results.contained(self):
            if len(images) > 1 and type(self).predict_batch is not Classificator.predict_batch:
                return _labels_only(self, self.predict_batch(images), len(images), top_k)
            input_vectors = [self.preprocess_input(image) for image in images]
            if len(images) == 1:
                preds = [self.process_prediction(input_vectors[0])]
            else:
                preds = results.one_for_each(self.process_batch(input_vectors), len(images), self, "process_batch")
            return [_decode(self, pred, top_k) for pred in preds]

    @final
    def at_version(self, number: int | None = None, *, label: str = "") -> Self:
        """The same classificator, asking this version of its model, by its number or else by its version label.

        Raises:
            VersionNotSelectableError: its `model_url` is none in which a version can be named.
        """
        address = ModelAddress.parse(self.model_url)
        if address is None or not address.is_newest:
            raise VersionNotSelectableError(f"{self.model_type}: no version can be put into {self.model_url}")
        chosen = copy.copy(self)
        try:
            chosen.model_url = address.at(number, label=label).predict
        except AttributeError as error:  # a property of the consumer's, which nobody can set
            raise VersionNotSelectableError(f"{self.model_type}: its model_url cannot be set") from error
        return chosen


# Not methods: a consumer's class may use any name that the contract does not.


def _labels_only(source: Classificator, labels: Any, count: int, top_k: int) -> list[Classification]:
    found = results.one_for_each(labels, count, source, "predict_batch")
    clean = [results.clean_label(label, source) for label in found]
    return [Classification(label, [Prediction(label)] if top_k else ()) for label in clean]


def _decode(source: Classificator, pred: dict[str, Any], top_k: int) -> Classification:
    label = results.clean_label(source.decode_predictions(pred), source)
    if not top_k:
        return Classification(label)
    return Classification(label, results.clean_predictions(source.decode_scores(pred, top_k), top_k, source))
