"""Builds the networks as TensorFlow modules with signatures.

Signatures: `serving_default` accepts encoded images, decodes and crops them in the graph, and returns `classes` (int64
[N], the index of the most probable class) and `probabilities` (float32 [N, 1000]). `raw` accepts prepared images, the
bytes of uint8 [size, size, 3] in RGB, and returns `probabilities`.
"""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moon_vision_challenge.model_zoo.architectures import ARCHITECTURES, LITE, image_size
from moon_vision_challenge.model_zoo.build import weights_path
from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph
from moon_vision_challenge.model_zoo.errors import MissingWeightsError
from moon_vision_challenge.model_zoo.evaluation import CROP
from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read on import, to hide a note about CPU instructions
import keras
import tensorflow as tf

from moon_vision_challenge.model_zoo.onnx_to_tensorflow import TensorFlowGraph


def build_keras_model(name: str, seed: int | None) -> Any:
    """Build the model with ImageNet's weights, or with random weights from this seed. Raises MissingWeightsError."""
    architecture = ARCHITECTURES[name]
    build = getattr(keras.applications, architecture.keras_name)
    if seed is not None:
        keras.utils.set_random_seed(seed)
        return build(weights=None)
    try:
        return build(weights="imagenet")  # shows progress, and keeps the download in ~/.keras
    except Exception as error:  # Keras raises a plain Exception when a download fails
        if not str(error).startswith("URL fetch failure"):
            raise
        raise MissingWeightsError(
            f"The ImageNet weights of {name} cannot be downloaded: {error}\n"
            "Connect to the network, or set MODEL_DATA_URL to a tarball of ready models."
        ) from error


def build_classifier(name: str, seed: int | None) -> tuple[Any, Callable[[Any], Any]]:
    """Return the object that holds the variables, and the function from uint8 [N, size, size, 3] to probabilities."""
    if name == LITE:
        graph = TensorFlowGraph(build_graph(name, read_state_dict(weights_path(name))))
        return graph, graph
    model = build_keras_model(name, seed)
    preprocess = getattr(keras.applications, ARCHITECTURES[name].module).preprocess_input
    return model, lambda pixels: model(preprocess(tf.cast(pixels, tf.float32)), training=False)


def servable(name: str, seed: int | None) -> tuple[Any, dict[str, Any]]:
    """Return a tf.Module and its signatures. See the module docstring."""
    size = image_size(name)
    model, classify = build_classifier(name, seed)
    strings = [tf.TensorSpec([None], tf.string, name="images")]

    def prepare(encoded: Any) -> Any:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        shape = tf.shape(image)
        side = tf.cast(tf.round(CROP * tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)), tf.int32)
        top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
        square = image[top : top + side, left : left + side]
        resized = tf.image.resize(square, (size, size), method="bicubic", antialias=True)
        return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), (size, size, 3))

    def raw(images: Any) -> dict[str, Any]:
        pixels = tf.ensure_shape(tf.io.decode_raw(images, tf.uint8), (None, size * size * 3))
        return {"probabilities": classify(tf.reshape(pixels, (-1, size, size, 3)))}

    def serving_default(images: Any) -> dict[str, Any]:
        pixels = tf.map_fn(prepare, images, fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8))
        probabilities = classify(pixels)
        return {"classes": tf.argmax(probabilities, axis=1), "probabilities": probabilities}

    module = tf.Module()
    module.model = model
    functions = {"serving_default": serving_default, "raw": raw}
    return module, {key: tf.function(function, input_signature=strings) for key, function in functions.items()}


def save(name: str, seed: int | None, folder: Path) -> None:
    module, signatures = servable(name, seed)
    tf.saved_model.save(module, str(folder), signatures=signatures)


def warm_up_requests(size: int) -> list[dict[str, Any]]:
    """Return example requests for the model server, which cannot generate strings of bytes."""
    black = bytes(size * size * 3)
    encoded = tf.io.encode_jpeg(tf.zeros((size, size, 3), tf.uint8)).numpy()
    return [
        {"signature_name": signature, "instances": [{"b64": base64.b64encode(data).decode()}]}
        for signature, data in (("raw", black), ("serving_default", encoded))
    ]
