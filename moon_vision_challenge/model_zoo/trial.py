"""Tries a model on a photo before the model is added."""

import importlib.util
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from moon_vision_challenge.model_io import answers, inputs
from moon_vision_challenge.model_io.answers import OutputForm
from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_io.errors import AnswerError
from moon_vision_challenge.model_io.inputs import InputForm
from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.onnx_file import OnnxFile

_TOP = 5


class Forms(NamedTuple):
    """What a signature of the model accepts and returns."""

    signature: str
    input: InputForm | None
    """None if the graph accepts encoded images."""
    output: OutputForm


def try_photo(path: Path, model: OnnxFile | Path, declared: Declaration, forms: Forms) -> None:
    """Print the labels that the model assigns to a photo.

    Args:
        model: an ONNX file, or the folder of a SavedModel.

    Raises:
        AddError: the photo cannot be read, or the model does not run, or its answer cannot be read as declared.
    """
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        item = _jpeg(rgb) if forms.input is None else inputs.prepare(rgb, forms.input, declared)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise AddError(f"{path} cannot be read as a picture: {error}.") from error
    if isinstance(model, OnnxFile) and isinstance(item, np.ndarray):
        row = model.run(item)
    elif isinstance(model, Path) and importlib.util.find_spec("tensorflow"):
        row = _run_saved_model(model, forms.signature, item)
    else:
        why = (
            "a SavedModel runs in TensorFlow, which is not installed (make get_tf_models installs it)"
            if isinstance(model, Path)
            else "the model decodes pictures itself, and this command does not run that"
        )
        print(f"{path}: not tried, because {why}. Send it once the model is served.")
        return
    try:
        found = answers.decode(row[forms.output.name], forms.output, declared, _TOP)
    except (AnswerError, KeyError) as error:
        raise AddError(f"The model's answer cannot be read: {error}.") from error
    print(f"{path}: {answers.label_of(found, declared)}")
    for one in found:
        print(f"  {'' if one.score is None else format(one.score, '.4f'):>8}  {one.label}")


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def _run_saved_model(folder: Path, signature: str, item: np.ndarray | bytes) -> dict[str, Any]:
    """Return the outputs for one image, by name, in the form of a row of the REST API."""
    import tensorflow as tf  # large, and in a separate environment

    try:
        model = tf.saved_model.load(str(folder))  # its functions hold only weak references to its variables
        function = model.signatures[signature]
        [(name, spec)] = function.structured_input_signature[1].items()
        batch = tf.stack([item] * (spec.shape[0] or 1))
        found = function(**{name: batch if batch.dtype == spec.dtype else tf.cast(batch, spec.dtype)})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, tf.errors.OpError) as error:
        reason = str(getattr(error, "message", error)).strip().partition("\n")[0][:300]
        raise AddError(f"The model cannot be run on the picture: {reason}") from error
    return {name: _plain(value.numpy()[0]) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value] if value.dtype == object else value.tolist()
    return value.item()
