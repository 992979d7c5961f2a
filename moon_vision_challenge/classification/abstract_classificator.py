"""The contract for a model's class: implement three hooks, set `model_type`, and register the class.

Most image classifiers do not need the hooks: see `served_model.ServedModelClassificator`.
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

    One instance serves all requests, from several threads. It must not keep state about an image between calls.

    Attributes:
        model_type: the name by which consumers choose this model: at most 100 ASCII letters, digits, `_`, `-` and
            `.`. It must not start with `-` or `.`. Required.
        model_url: the URL for predictions: `.../v1/models/NAME:predict` of TensorFlow Serving's REST API, or
            `.../v2/models/NAME/infer` of the Open Inference Protocol. By default, it is built from TF_SERVING_URL and
            model_type.
        queue: the Celery queue for this model's images in v1. A worker serves all queues unless you name some
            (`celery worker --queues=...`). Give a slow model its own queue and its own workers, so that it does not
            delay the other models.
        min_image_side: the minimum length of the shorter side, in pixels, for this model's preprocessing. A large JPEG
            is then decoded at a reduced scale, which is several times faster. If None, images arrive at full size.
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
        return self._model_url or ModelAddress.on(settings.TF_SERVING_URL, self.model_type).predict

    @model_url.setter
    def model_url(self, url: str) -> None:
        self._model_url = url

    @abstractmethod
    def preprocess_input(self, image: Image.Image) -> Any:
        """Prepare an image (mode RGB, upright, any size) for the model."""

    @abstractmethod
    def process_prediction(self, input_vector: Any) -> dict[str, Any]:
        """Send what `preprocess_input` returned to the model.

        Use `tf_serving.predict`, or call the model server with `requests`. The errors of both are handled.
        """

    @abstractmethod
    def decode_predictions(self, pred: dict[str, Any]) -> str:
        """Turn what `process_prediction` returned into a label."""

    def decode_scores(self, pred: dict[str, Any], top_k: int) -> list[Prediction]:  # noqa: ARG002  # for overrides
        """Turn what `process_prediction` returned into the `top_k` (at least 1) most probable classes, best first.

        The label of the first one is what `decode_predictions` returns. By default, it is the only one.
        """
        return [Prediction(self.decode_predictions(pred))]

    def process_batch(self, input_vectors: Sequence[Any]) -> list[dict[str, Any]]:
        """Send several images to the model. Return one `process_prediction` result per image, in order.

        Override this method to send all images in one request.
        """
        return [self.process_prediction(input_vector) for input_vector in input_vectors]

    @final
    def predict(self, image: Image.Image) -> str:
        """Return the label of one RGB image."""
        return self.classify([image])[0].label

    def predict_batch(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the labels of several RGB images, in order.

        A class that overrides this method gets no scores for batches. `process_batch` serves both labels and scores.
        """
        preds = self.process_batch([self.preprocess_input(image) for image in images])
        return [self.decode_predictions(pred) for pred in preds]

    @final
    def classify(self, images: Sequence[Image.Image], *, top_k: int = 0) -> list[Classification]:
        """Return this model's results for RGB images, in order.

        The results of the hooks are checked: labels must be strings of at most LABEL_MAX_LENGTH characters, scores must
        be finite floats or None, and class ids must be integers or None. NumPy scalars are converted.

        Args:
            top_k: the number of most probable classes to return in addition to the label. With 0, only the label is
                returned, which is cheaper.

        Raises:
            InvalidPredictionError: a hook returned anything else, returned too few or too many results, or raised
                MemoryError, RecursionError, SystemExit, or a similar exception. Process each image alone to find the
                one that fails.
            Exception: any other exception that a hook raises.
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
        """Return a copy of this classificator for one version of its model, given by number or by version label.

        Raises:
            VersionNotSelectableError: its `model_url` cannot name a version.
        """
        address = ModelAddress.parse(self.model_url)
        if address is None or not address.is_newest:
            raise VersionNotSelectableError(f"{self.model_type}: the model_url {self.model_url} cannot name a version")
        chosen = copy.copy(self)
        try:
            chosen.model_url = address.at(number, label=label).predict
        except AttributeError as error:  # a read-only property of the consumer's class
            raise VersionNotSelectableError(f"{self.model_type}: its model_url cannot be set") from error
        return chosen


# These are functions, not methods, because a consumer's class may use any name outside the contract.


def _labels_only(source: Classificator, labels: Any, count: int, top_k: int) -> list[Classification]:
    found = results.one_for_each(labels, count, source, "predict_batch")
    clean = [results.clean_label(label, source) for label in found]
    return [Classification(label, [Prediction(label)] if top_k else ()) for label in clean]


def _decode(source: Classificator, pred: dict[str, Any], top_k: int) -> Classification:
    label = results.clean_label(source.decode_predictions(pred), source)
    if not top_k:
        return Classification(label)
    return Classification(label, results.clean_predictions(source.decode_scores(pred, top_k), top_k, source))
