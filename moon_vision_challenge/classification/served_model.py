"""The base of a classificator that needs no code: what the model takes is read from its metadata."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pybase64
from PIL import Image

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.abstract_classificator import Classificator, Prediction
from moon_vision_challenge.classification.exceptions import InvalidPredictionError, ModelNotAvailableError
from moon_vision_challenge.classification.serving import client, metadata
from moon_vision_challenge.classification.serving.metadata import Signature, TensorInfo

# Cut off around the photo's centre before it is scaled: 224 of 256 pixels stay.
_CROP = 0.875


class Encoding(Enum):
    """How an image goes into a request."""

    RAW = "raw"  # a string of height x width x 3 bytes, RGB
    JPEG = "jpeg"  # a string that holds an encoded image; the graph decodes, crops and scales it
    TENSOR = "tensor"  # nested lists of numbers


class WireForm(NamedTuple):
    """The signature of a model that is asked, and what it takes and returns."""

    signature_name: str
    encoding: Encoding
    input: TensorInfo
    classes_count: int | None
    """How many scores it returns for an image. None: its metadata do not say."""


class _Instance(NamedTuple):
    form: WireForm
    value: Any


def choose_wire_form(signatures: Mapping[str, Signature]) -> WireForm | None:
    """The best signature of those that take one image: `raw`, else `predict_images`, else the default, else any.

    `predict_images` is that of the Inception which TensorFlow Serving's tutorial exports; its default signature takes
    tf.Example records.
    """
    preferred = ["raw", "predict_images", "serving_default"]
    for name in [*preferred, *sorted(set(signatures) - set(preferred))]:
        if name not in signatures or len(signatures[name].inputs) != 1:
            continue
        [tensor] = signatures[name].inputs.values()
        if tensor.dtype == "DT_STRING":
            encoding = Encoding.RAW if name == "raw" else Encoding.JPEG
        elif len(tensor.shape) == 4:
            encoding = Encoding.TENSOR
        else:
            continue
        return WireForm(name, encoding, tensor, _classes_count(signatures[name].outputs))
    return None


def _classes_count(outputs: Mapping[str, TensorInfo]) -> int | None:
    if len(outputs) == 1:
        [tensor] = outputs.values()
    elif (found := outputs.get("probabilities")) is not None:
        tensor = found
    else:
        return None
    known = len(tensor.shape) == 2 and tensor.dtype != "DT_STRING" and tensor.shape[1] > 0
    return tensor.shape[1] if known else None


class ServedModelClassificator(Classificator):
    """A model that takes one image and returns scores, class indices or labels.

    The model's metadata say how it wants the image, in this order of preference:

    - a signature named `raw` gets the pixels of the scaled central crop as a string of `input_size` x `input_size` x 3
      bytes;
    - a signature whose input is a string gets a JPEG of the central square, with a margin: such graphs crop 0.875 of
      it and scale that themselves;
    - a signature whose input is numeric gets the pixels of the scaled central crop as numbers: integers 0 to 255, or
      for floats (pixel - mean) / scale. Channels come last, or first if the input's shape says so.

    It may return, for an image: the scores of all classes, alone or named `probabilities`; the index of the best class
    or the labels of the best ones, best first, alone or named `classes`, these with `scores` beside them. One score
    more than there are labels means that class 0 is a background: it is left out.

    Attributes:
        input_size: height and width of the model's input, in pixels. Required.
        labels: the label of each class, in the order of the model's output; `read_labels` reads a file. Required.
        mean, scale: of the pixels, one number or three (RGB); for a model with numeric float input only.
        has_background: for a model that returns an index without scores: 0 is a background before the labels.
    """

    input_size: int
    labels: Sequence[str]
    mean: float | tuple[float, float, float] = 0.0
    scale: float | tuple[float, float, float] = 1.0
    has_background: bool = False

    @property
    def min_image_side(self) -> int:
        # Twice what the crop needs: a reduced JPEG keeps enough detail for the bicubic step that follows.
        return 2 * round(self.input_size / _CROP)

    @property
    def wire_form(self) -> WireForm:
        """What the served model takes and returns. Raises as `tf_serving.predict` does."""
        form = choose_wire_form(metadata.signatures[self.model_url])
        if form is None:
            raise InvalidPredictionError(f"{self.model_type}: none of the model's signatures takes one image")
        return form

    def preprocess_input(self, image: Image.Image) -> _Instance:
        """Crop, scale and encode: one instance of a predict request."""
        form = self.wire_form
        return _Instance(form, self._encode(image, form))

    def process_prediction(self, input_vector: _Instance) -> dict[str, Any]:
        return self.process_batch([input_vector])[0]

    def process_batch(self, input_vectors: Sequence[_Instance]) -> list[dict[str, Any]]:
        form = input_vectors[0].form
        if any(instance.form != form for instance in input_vectors):
            raise ModelNotAvailableError(f"{self.model_type}: the model changed while a batch was prepared")
        payload: dict[str, Any] = {"instances": [instance.value for instance in input_vectors]}
        if form.signature_name != "serving_default":
            payload["signature_name"] = form.signature_name
        rows = self._ask(form, payload).get("predictions")
        if not (isinstance(rows, list) and len(rows) == len(input_vectors)):
            raise InvalidPredictionError(f"{self.model_type}: not the {len(input_vectors)} predictions asked for")
        return [{"predictions": [row]} for row in rows]

    def decode_predictions(self, pred: dict[str, Any]) -> str:
        return self.decode_scores(pred, 1)[0].label

    def decode_scores(self, pred: dict[str, Any], top_k: int) -> list[Prediction]:
        [row] = pred["predictions"]
        try:
            return self._decode_row(row, top_k)
        except (TypeError, ValueError, IndexError) as error:
            raise InvalidPredictionError(f"{self.model_type}: no prediction: {error!r}") from error

    def _ask(self, form: WireForm, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            return client.predict(self.model_url, payload)
        except (InvalidPredictionError, ModelNotAvailableError) as error:
            # Perhaps it is another model by now, and wants its images in another form: the next attempt will see.
            metadata.signatures.forget(self.model_url)
            if isinstance(error, InvalidPredictionError) and self.wire_form != form:
                raise ModelNotAvailableError(f"{self.model_type}: the model has changed: {error}") from error
            raise

    def _encode(self, image: Image.Image, form: WireForm) -> Any:
        if form.encoding == Encoding.JPEG:
            square = images.crop_and_resize(image, round(self.input_size / _CROP), crop=1.0)
            return {"b64": pybase64.b64encode_as_string(images.encode_jpeg(square))}
        crop = images.crop_and_resize(image, self.input_size, crop=_CROP)
        if form.encoding == Encoding.RAW:
            return {"b64": pybase64.b64encode_as_string(crop.tobytes())}
        pixels = np.asarray(crop)
        if form.input.dtype in ("DT_FLOAT", "DT_DOUBLE", "DT_HALF"):
            mean, scale = np.asarray(self.mean, np.float32), np.asarray(self.scale, np.float32)
            pixels = (pixels - mean) / scale
        if form.input.shape[1] == 3:  # channels first
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels)

    def _decode_row(self, row: Any, top_k: int) -> list[Prediction]:
        classes = row
        scores = None
        if isinstance(row, dict):
            classes = row.get("probabilities", row.get("classes"))
            scores = row.get("scores")
        match classes:
            case [str(), *_] if all(isinstance(label, str) for label in classes):
                found = zip(classes, scores or [None] * len(classes), strict=False)
                return [Prediction(label, score, self._class_id(label)) for label, score in found][:top_k]
            case list():
                return self._best(classes, top_k)
            case str():
                return [Prediction(classes, None, self._class_id(classes))]
            case int() if not isinstance(classes, bool):
                return [self._class(classes)]
        raise InvalidPredictionError(f"{self.model_type}: neither scores nor classes: {str(row)[:100]}")

    def _class(self, index: int) -> Prediction:
        if self.has_background:
            index -= 1
        if index == -1 and self.has_background:
            return Prediction("background")
        if not 0 <= index < len(self.labels):
            raise InvalidPredictionError(f"{self.model_type}: a class that is none of {len(self.labels)}")
        return Prediction(self.labels[index], None, index)

    def _best(self, scores: list[Any], top_k: int) -> list[Prediction]:
        background = len(scores) - len(self.labels)
        if background not in (0, 1):
            raise InvalidPredictionError(f"{self.model_type}: {len(scores)} scores of {len(self.labels)} classes")
        if background:
            scores = scores[1:]
        if top_k == 1:  # as for every request that asks for no scores: a third of what sorting costs
            indices = [scores.index(max(scores))]
        else:
            indices = np.argsort(-np.array(scores), kind="stable")[:top_k].tolist()
        if not isinstance(scores[indices[0]], int | float):
            raise InvalidPredictionError(f"{self.model_type}: scores that are no numbers")
        return [Prediction(self.labels[index], scores[index], index) for index in indices]

    def _class_id(self, label: str) -> int | None:
        return self.labels.index(label) if label in self.labels else None
