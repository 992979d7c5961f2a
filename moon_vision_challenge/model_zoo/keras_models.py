"""python -m moon_vision_challenge.model_zoo.keras_models [resnet] [inception] [--models_dir models]

Exports classifiers of keras.applications as SavedModels, <models_dir>/<name>/1/. Preprocessing is inside the graph.
Signatures: `serving_default` takes encoded pictures, decoded and cropped in the graph, and gives `classes` (int64 [N],
the index of the most probable) and `probabilities` (float32 [N, 1000]); `raw` takes prepared pictures, the bytes of
uint8 [size, size, 3] in RGB, and gives `probabilities`.

With MODEL_DATA_URL in the environment a tarball of such folders is fetched and unpacked instead.
"""

import argparse
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

from moon_vision_challenge.model_zoo.errors import BuildError, MissingWeightsError
from moon_vision_challenge.model_zoo.tarball import fetch_and_unpack

VERSION = "1"
CROP = 0.875  # of the shorter side, as in evaluation


class Architecture(NamedTuple):
    keras_name: str
    module: str  # of keras.applications, with its preprocess_input
    image_size: int  # pixels, both sides


ARCHITECTURES = {
    "resnet": Architecture("ResNet50", "resnet", 224),  # preprocess_input: BGR minus ImageNet's means, as in Caffe
    "inception": Architecture("InceptionV3", "inception_v3", 299),  # preprocess_input: -1 to 1
}


def build_keras_model(name: str, seed: int | None) -> Any:
    """With ImageNet's weights, or random ones of this seed. Raises MissingWeightsError."""
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


def servable(name: str, model: Any) -> tuple[Any, dict[str, Any]]:
    """A tf.Module and its signatures; see the module's docstring."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    architecture = ARCHITECTURES[name]
    size = architecture.image_size
    preprocess: Callable[[Any], Any] = getattr(keras.applications, architecture.module).preprocess_input
    strings = [tf.TensorSpec([None], tf.string, name="images")]

    def classify(pixels: Any) -> Any:
        return model(preprocess(tf.cast(pixels, tf.float32)), training=False)

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
    """For the model server, which cannot make up strings of bytes."""
    import tensorflow as tf  # noqa: PLC0415

    black = bytes(size * size * 3)
    encoded = tf.io.encode_jpeg(tf.zeros((size, size, 3), tf.uint8)).numpy()
    return [
        {"signature_name": signature, "instances": [{"b64": base64.b64encode(data).decode()}]}
        for signature, data in (("raw", black), ("serving_default", encoded))
    ]


def export(name: str, models_dir: Path, seed: int | None = None) -> bool:
    """False if there is a version already, whoever made it. The folder appears complete or not at all.

    Raises MissingWeightsError, or OSError when the models folder cannot be written.
    """
    import tensorflow as tf  # noqa: PLC0415

    version_dir = models_dir / name / VERSION
    version_dir.parent.mkdir(parents=True, exist_ok=True)
    with (version_dir.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if version_dir.exists():
            return False
        unfinished = version_dir.parent / ".building"  # no number, so never a version
        shutil.rmtree(unfinished, ignore_errors=True)
        module, signatures = servable(name, build_keras_model(name, seed))
        tf.saved_model.save(module, str(unfinished), signatures=signatures)
        extra = unfinished / "assets.extra"
        extra.mkdir()
        requests = warm_up_requests(ARCHITECTURES[name].image_size)
        (extra / "warmup.json").write_text(json.dumps(requests), encoding="utf-8")
        unfinished.rename(version_dir)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Exports the models named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="keras_models", description="Exports classifiers of keras.applications as SavedModels."
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="model", help=f"any of {', '.join(ARCHITECTURES)} (default: all)")
    add("--models_dir", type=Path, default=Path("models"), help="folder of the models (default: %(default)s)")
    add("--random-weights", type=int, metavar="SEED", help="for tests: do not download weights")
    arguments = parser.parse_args(argv)
    names = arguments.names or list(ARCHITECTURES)
    if unknown := [name for name in names if name not in ARCHITECTURES]:
        parser.error(f"there is no model {unknown[0]}; there are {', '.join(ARCHITECTURES)}")
    try:
        if url := os.environ.get("MODEL_DATA_URL"):
            for path in fetch_and_unpack(url, arguments.models_dir, os.environ.get("MODEL_DATA_SHA256")):
                print(f"unpacked {path}")
            return 0
        for number, name in enumerate(names, 1):
            path = arguments.models_dir / name / VERSION
            started = time.perf_counter()
            if path.exists():
                print(f"[{number}/{len(names)}] {name}: already there ({path})")
                continue
            print(f"[{number}/{len(names)}] {name}: exporting", flush=True)
            export(name, arguments.models_dir, arguments.random_weights)
            print(f"[{number}/{len(names)}] {name}: {path} ({time.perf_counter() - started:.0f} s)")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Cannot write below {arguments.models_dir}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
