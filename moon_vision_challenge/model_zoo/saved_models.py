"""python -m moon_vision_challenge.model_zoo.saved_models [efficientnet_lite0] [resnet] [inception]

Exports EfficientNet-Lite0 and classifiers of keras.applications as SavedModels, <models_dir>/<name>/1/. Preprocessing
is inside the graph.
Signatures: `serving_default` takes encoded pictures, decodes and crops them in the graph, and returns `classes` (int64
[N], the index of the most probable) and `probabilities` (float32 [N, 1000]). `raw` takes prepared pictures, the bytes
of uint8 [size, size, 3] in RGB, and returns `probabilities`.

With MODEL_DATA_URL in the environment, it fetches and unpacks a tarball of such folders instead.
"""

import base64
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from moon_vision_challenge.model_zoo.arguments import models_parser
from moon_vision_challenge.model_zoo.build import VERSION, BuildOutcome, build_model, weights_path
from moon_vision_challenge.model_zoo.errors import BuildError, MissingWeightsError
from moon_vision_challenge.model_zoo.evaluation import CROP
from moon_vision_challenge.model_zoo.tarball import fetch_and_unpack
from moon_vision_challenge.model_zoo.variants import VARIANTS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read on import; hides a note about CPU instructions

MODEL_FILE = "saved_model.pb"


class Architecture(NamedTuple):
    keras_name: str
    module: str  # of keras.applications, with its preprocess_input
    image_size: int  # pixels, both sides


ARCHITECTURES = {
    "resnet": Architecture("ResNet50", "resnet", 224),  # preprocess_input: BGR minus ImageNet's means, as in Caffe
    "inception": Architecture("InceptionV3", "inception_v3", 299),  # preprocess_input: -1 to 1
}
LITE = "efficientnet_lite0"
NAMES = [LITE, *ARCHITECTURES]  # first the one that does not need the network


def build_keras_model(name: str, seed: int | None) -> Any:
    """The model with ImageNet's weights, or with random weights of this seed. Raises MissingWeightsError."""
    import keras  # noqa: PLC0415

    architecture = ARCHITECTURES[name]
    build = getattr(keras.applications, architecture.keras_name)
    if seed is not None:
        keras.utils.set_random_seed(seed)
        return build(weights=None)
    try:
        return build(weights="imagenet")  # shows the progress of the download; kept in ~/.keras
    except Exception as error:  # what Keras raises when a download fails is a plain Exception
        if not str(error).startswith("URL fetch failure"):
            raise
        raise MissingWeightsError(
            f"The ImageNet weights of {name} cannot be downloaded: {error}\n"
            "Connect to the network, or set MODEL_DATA_URL to a tarball of ready models."
        ) from error


def build_classifier(name: str, seed: int | None) -> tuple[Any, Callable[[Any], Any]]:
    """The object that holds the variables, and the function from uint8 [N, size, size, 3] to probabilities."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    if name == LITE:
        from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph  # noqa: PLC0415
        from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict  # noqa: PLC0415
        from moon_vision_challenge.model_zoo.onnx_to_tensorflow import TensorFlowGraph  # noqa: PLC0415

        graph = TensorFlowGraph(build_graph(name, read_state_dict(weights_path(name))))
        return graph, graph
    model = build_keras_model(name, seed)
    preprocess = getattr(keras.applications, ARCHITECTURES[name].module).preprocess_input
    return model, lambda pixels: model(preprocess(tf.cast(pixels, tf.float32)), training=False)


def image_size(name: str) -> int:
    return VARIANTS[name].image_size if name == LITE else ARCHITECTURES[name].image_size


def servable(name: str, seed: int | None) -> tuple[Any, dict[str, Any]]:
    """A tf.Module and its signatures. See the module's docstring."""
    import tensorflow as tf  # noqa: PLC0415

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


def warm_up_requests(size: int) -> list[dict[str, Any]]:
    """Write examples for the model server, which cannot generate strings of bytes."""
    import tensorflow as tf  # noqa: PLC0415

    black = bytes(size * size * 3)
    encoded = tf.io.encode_jpeg(tf.zeros((size, size, 3), tf.uint8)).numpy()
    return [
        {"signature_name": signature, "instances": [{"b64": base64.b64encode(data).decode()}]}
        for signature, data in (("raw", black), ("serving_default", encoded))
    ]


def is_there(name: str, version_dir: Path) -> bool:
    """Whether a version exists, wherever it comes from. EfficientNet-Lite0 may exist as ONNX only."""
    return (version_dir / MODEL_FILE).exists() if name == LITE else version_dir.exists()


def export(name: str, models_dir: Path, seed: int | None = None) -> bool:
    """False if a version exists that the zoo did not build. The SavedModel appears complete or not at all.

    EfficientNet-Lite0's is stored next to its model.onnx, which is built if necessary: one is for TensorFlow Serving,
    the other for the native model server. Raises BuildError, or OSError if the models folder cannot be written.
    """
    import tensorflow as tf  # noqa: PLC0415

    version_dir = models_dir / name / VERSION
    if name == LITE and build_model(name, models_dir) is BuildOutcome.NOT_OURS:
        return False
    version_dir.parent.mkdir(parents=True, exist_ok=True)
    with (version_dir.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_there(name, version_dir):
            return False
        unfinished = version_dir.parent / ".building"  # not a number, so never a version
        shutil.rmtree(unfinished, ignore_errors=True)
        module, signatures = servable(name, seed)
        tf.saved_model.save(module, str(unfinished), signatures=signatures)
        extra = unfinished / "assets.extra"
        extra.mkdir()
        requests = warm_up_requests(image_size(name))
        (extra / "warmup.json").write_text(json.dumps(requests), encoding="utf-8")
        if not version_dir.exists():
            unfinished.rename(version_dir)
            return True
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == MODEL_FILE):  # this makes it a model
            shutil.rmtree(version_dir / path.name, ignore_errors=True)  # left by a killed run
            path.rename(version_dir / path.name)
        unfinished.rmdir()
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Exports the models named on the command line; returns the exit code."""
    parser = models_parser(
        prog="saved_models",
        description="Exports classifiers as SavedModels of TensorFlow.",
        known=NAMES,
        default=NAMES,
    )
    parser.add_argument("--random-weights", type=int, metavar="SEED", help="for tests: do not download weights")
    arguments = parser.parse_args(argv)
    try:
        if url := os.environ.get("MODEL_DATA_URL"):
            for path in fetch_and_unpack(url, arguments.models_dir, os.environ.get("MODEL_DATA_SHA256")):
                print(f"unpacked {path}")
            return 0
        for number, name in enumerate(arguments.names, 1):
            path = arguments.models_dir / name / VERSION
            step = f"[{number}/{len(arguments.names)}] {name}:"
            started = time.perf_counter()
            if is_there(name, path):
                print(f"{step} already there ({path})")
                continue
            print(f"{step} exporting", flush=True)
            if export(name, arguments.models_dir, arguments.random_weights):
                print(f"{step} {path} ({time.perf_counter() - started:.0f} s)")
            else:
                print(f"{step} left unchanged: not built by the model zoo ({path})")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Cannot write below {arguments.models_dir}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
