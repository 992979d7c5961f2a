"""python -m moon_vision_challenge.model_zoo.saved_models [efficientnet_lite0] [resnet] [inception]

Exports EfficientNet-Lite0 and classifiers of keras.applications as SavedModels to <models_dir>/<name>/1/. Preprocessing
is inside the graph. tensorflow_models describes their signatures.

If MODEL_DATA_URL is set in the environment, it fetches and unpacks a tarball of such folders instead.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from moon_vision_challenge.model_zoo.architectures import LITE, NAMES, image_size
from moon_vision_challenge.model_zoo.arguments import models_parser
from moon_vision_challenge.model_zoo.build import VERSION, BuildOutcome, build_model
from moon_vision_challenge.model_zoo.errors import BuildError
from moon_vision_challenge.model_zoo.tarball import fetch_and_unpack

MODEL_FILE = "saved_model.pb"


def is_there(name: str, version_dir: Path) -> bool:
    """Return whether a version exists, wherever it comes from. EfficientNet-Lite0 may exist as ONNX only."""
    return (version_dir / MODEL_FILE).exists() if name == LITE else version_dir.exists()


def export(name: str, models_dir: Path, seed: int | None = None) -> bool:
    """Build the SavedModel, and return False if a version exists. It appears complete or not at all.

    EfficientNet-Lite0's SavedModel is stored next to its model.onnx, which is built if necessary. The first is for
    TensorFlow Serving, the other for the native model server. Raises BuildError, or OSError if the models folder cannot
    be written.
    """
    # Imported here: fetching a tarball does not need TensorFlow.
    from moon_vision_challenge.model_zoo import tensorflow_models

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
        tensorflow_models.save(name, seed, unfinished)
        extra = unfinished / "assets.extra"
        extra.mkdir()
        requests = tensorflow_models.warm_up_requests(image_size(name))
        (extra / "warmup.json").write_text(json.dumps(requests), encoding="utf-8")
        if not version_dir.exists():
            unfinished.rename(version_dir)
            return True
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == MODEL_FILE):  # last: makes it a model
            shutil.rmtree(version_dir / path.name, ignore_errors=True)  # left by a killed run
            path.rename(version_dir / path.name)
        unfinished.rmdir()
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Export the models named on the command line. Returns the exit code."""
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
