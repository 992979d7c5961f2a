"""The base class of classificators without code: you declare the model, and its metadata provides the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from PIL import Image

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.abstract_classificator import Classificator, Prediction
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
)
from moon_vision_challenge.classification.serving import client, metadata
from moon_vision_challenge.classification.serving.metadata import Signature, TensorInfo
from moon_vision_challenge.model_io import answers, inputs, pixels
from moon_vision_challenge.model_io.answers import OutputForm
from moon_vision_challenge.model_io.declaration import FIELDS, Declaration, declare
from moon_vision_challenge.model_io.errors import AnswerError, DeclarationError
from moon_vision_challenge.model_io.inputs import InputForm
from moon_vision_challenge.model_io.types import (
    Activation,
    Channels,
    Interpolation,
    Layout,
    MarginRounding,
    Numbers,
    Resize,
)


class Encoding(Enum):
    """How a request encodes an image."""

    RAW = "raw"  # a string: the bytes of the prepared pixels
    JPEG = "jpeg"  # a string: an encoded image, which the graph decodes, crops, and scales
    TENSOR = "tensor"  # numbers


class WireForm(NamedTuple):
    """The signature of a model that requests use, and what it accepts and returns."""

    signature_name: str
    encoding: Encoding
    input: InputForm
    output: OutputForm


class _Instance(NamedTuple):
    form: WireForm
    value: Any


def choose_wire_form(signatures: Mapping[str, Signature], declared: Declaration) -> WireForm | None:
    """Return the best signature for one image: `raw`, else `predict_images`, else the default, else any.

    `predict_images` belongs to the Inception model that TensorFlow Serving's tutorial exports. The default signature of
    that model accepts tf.Example records.

    Raises:
        DeclarationError: the declaration does not fit the model, or says too little about it.
    """
    preferred = ["raw", "predict_images", "serving_default"]
    for name in [*preferred, *sorted(set(signatures) - set(preferred))]:
        if name not in signatures or len(signatures[name].inputs) != 1:
            continue
        [tensor] = signatures[name].inputs.values()
        if tensor.dtype == "DT_STRING":
            encoding = Encoding.RAW if name == "raw" else Encoding.JPEG
            form = _form_of_string(tensor, _tensor_behind(signatures, declared), declared)
        elif inputs.takes_image(tensor, declared):
            encoding, form = Encoding.TENSOR, inputs.read_input(tensor, declared)
        else:
            continue
        return WireForm(name, encoding, form, answers.read_output(signatures[name].outputs, declared))
    return None


def _tensor_behind(signatures: Mapping[str, Signature], declared: Declaration) -> TensorInfo | None:
    """Return the numeric input whose bytes a string input holds, if the default signature shows it."""
    infos = list(signatures["serving_default"].inputs.values()) if "serving_default" in signatures else []
    return infos[0] if len(infos) == 1 and inputs.takes_image(infos[0], declared) else None


def _form_of_string(tensor: TensorInfo, behind: TensorInfo | None, declared: Declaration) -> InputForm:
    if behind is None:  # by convention, RGB, 0 to 255, channels last
        behind, declared = TensorInfo("DT_UINT8", ()), replace(declared, layout=declared.layout or "NHWC")
    batch = tensor.shape[0] if tensor.shape and tensor.shape[0] > 0 else -1
    return replace(inputs.read_input(behind, declared), batch=batch)


class ServedModelClassificator(Classificator):
    """A model that accepts one image and returns scores, class indices, or labels.

    Declare the model with the attributes below. What you do not declare is read from the model's metadata, or has the
    default of `Declaration`, which describes each attribute. `manage.py check` compares the two.

    The metadata determines which signature is used, in this order of preference:

    - `raw` gets the pixels, cropped and scaled, as a string of height x width x channels bytes.
    - A signature with a string input gets a JPEG, because such graphs crop and scale images themselves. With
      `center_crop`, the JPEG holds the central part, with the margin that the graph cuts off. Otherwise, it holds the
      whole image.
    - A signature with a numeric input gets the pixels, cropped and scaled, as integers, or as floats of
      (pixel - mean) / scale.

    The answer for each image may be one of these:

    - The scores of all classes (N x C or N x C x 1 x 1). With a background as class 0, there is one more than labels.
    - One sigmoid for two labels.
    - With `threshold`, the scores of several independent labels.
    - The index of the best class (N or N x 1).
    - Labels, best first, with their `scores`.
    - An object that maps labels to probabilities.

    Attributes:
        preset: the name of a common trainer: `torchvision`, `timm`, `keras-resnet50`, `keras-inception`,
            `ultralytics-cls`, `teachable-machine`, or `huggingface-vit`. Its image preparation applies to what you do
            not declare.
        preset_dir: the folder of the exported files. `timm` reads config.json. `huggingface-vit` reads
            preprocessor_config.json, and the labels in config.json.

    Raises:
        ImproperlyConfigured: at registration, if the declaration cannot be right.
    """

    preset: str | None = None
    preset_dir: Path | None = None
    input_size: int | tuple[int, int] | None = None
    resize: Resize | None = None
    crop: float | None = None
    shorter_side: int | None = None
    margin_rounding: MarginRounding | None = None
    interpolation: Interpolation | None = None
    antialias: bool | None = None
    pad_color: int | tuple[int, int, int] | None = None
    channels: Channels | None = None
    layout: Layout | None = None
    mean: Numbers | None = None
    scale: Numbers | None = None
    output: str | None = None
    activation: Activation | None = None
    threshold: Numbers | None = None
    labels: Sequence[str] | None = None
    has_background: bool = False

    _known_form: tuple[Mapping[str, Signature], WireForm] | None = None

    def __init__(self) -> None:
        declared = self.declaration  # so that registration finds an invalid declaration
        if self.labels is None:
            self.labels = declared.labels  # from the preset

    @cached_property
    def declaration(self) -> Declaration:
        """What this class and its preset declare. Raises ImproperlyConfigured."""
        said = {name: getattr(self, name) for name in FIELDS}
        try:
            return declare(said, preset=self.preset, preset_dir=self.preset_dir)
        except DeclarationError as error:
            name = f"{type(self).__module__}.{type(self).__qualname__}"
            raise ImproperlyConfigured(f"{name}: {error}") from error

    @property
    def min_image_side(self) -> int | None:
        size = self.declaration.input_size
        try:
            return pixels.needed_side(size or self.wire_form.input.size, self.declaration)
        except ClassificationError:  # the first request to the model reports it
            return None

    @property
    def wire_form(self) -> WireForm:
        """What the served model accepts and returns. Raises what `tf_serving.predict` raises."""
        signatures = metadata.signatures[self.model_url]
        if self._known_form is not None and self._known_form[0] is signatures:
            return self._known_form[1]
        try:
            form = choose_wire_form(signatures, self.declaration)
        except DeclarationError as error:
            raise InvalidPredictionError(f"{self.model_type}: {error}") from error
        if form is None:
            raise InvalidPredictionError(f"{self.model_type}: none of the model's signatures takes one image")
        self._known_form = signatures, form
        return form

    def preprocess_input(self, image: Image.Image) -> _Instance:
        """Crop, scale, and encode an image as one instance of a predict request."""
        form = self.wire_form
        return _Instance(form, self._encode(image, form))

    def process_prediction(self, input_vector: _Instance) -> dict[str, Any]:
        return self.process_batch([input_vector])[0]

    def process_batch(self, input_vectors: Sequence[_Instance]) -> list[dict[str, Any]]:
        form = input_vectors[0].form
        if any(instance.form != form for instance in input_vectors):
            raise ModelNotAvailableError(f"{self.model_type}: the model changed while a batch was prepared")
        values = [instance.value for instance in input_vectors]
        size = form.input.batch if form.input.batch > 0 else len(values)
        rows = [row for first in range(0, len(values), size) for row in self._rows(form, values[first : first + size])]
        return [{"predictions": [row], "output": form.output} for row in rows]

    def decode_predictions(self, pred: dict[str, Any]) -> str:
        top_k = 1 if self.declaration.threshold is None else len(self.declaration.labels or ())
        return answers.label_of(self.decode_scores(pred, top_k), self.declaration)

    def decode_scores(self, pred: dict[str, Any], top_k: int) -> list[Prediction]:
        [row] = pred["predictions"]
        try:
            return answers.decode(row, pred.get("output", OutputForm()), self.declaration, top_k)
        except AnswerError as error:
            raise InvalidPredictionError(f"{self.model_type}: {error}") from error

    def _rows(self, form: WireForm, values: list[Any]) -> list[Any]:
        """Return one row per value. If the model has a fixed batch size, the last value is repeated to fill it."""
        missing = max(0, form.input.batch - len(values))
        payload: dict[str, Any] = {"instances": values + values[-1:] * missing}
        if form.signature_name != "serving_default":
            payload["signature_name"] = form.signature_name
        rows = self._ask(form, payload).get("predictions")
        if not (isinstance(rows, list) and len(rows) == len(payload["instances"])):
            raise InvalidPredictionError(f"{self.model_type}: the model did not return {len(values)} predictions")
        return rows[: len(values)]

    def _ask(self, form: WireForm, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            return client.predict_arrays(self.model_url, payload)
        except (InvalidPredictionError, ModelNotAvailableError) as error:
            # The model may have changed and need its images in another form. The next attempt reads its metadata again.
            metadata.signatures.forget(self.model_url)
            if isinstance(error, InvalidPredictionError) and self.wire_form != form:
                raise ModelNotAvailableError(f"{self.model_type}: the model has changed: {error}") from error
            raise

    def _encode(self, image: Image.Image, form: WireForm) -> Any:
        if form.encoding == Encoding.TENSOR:
            return inputs.prepare(image, form.input, self.declaration)
        if form.encoding == Encoding.RAW:
            return inputs.pack(image, form.input, self.declaration)
        return images.encode_jpeg(self._with_margin(image, form.input.size))

    def _with_margin(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        how = self.declaration
        if how.resize == "center_crop":
            height, width = (round(side / how.kept) for side in size)
            return pixels.fit(image, (height, width), Declaration(crop=1.0, interpolation=how.interpolation))
        ratio = min(1.0, 2 * max(size) / min(image.size))
        return image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BICUBIC)
