"""Chooses the runtime of a model by its platform and the files in its version folder."""

import importlib.util
import logging
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

from moon_vision_challenge.model_server.files import ONNX_FILE, SAVED_MODEL_FILE, model_files, private_copy
from moon_vision_challenge.model_server.runtime import ModelLoadError, Runtime

logger = logging.getLogger(__name__)


class Platform(StrEnum):
    """What runs a model: the values of `model_platform` in models.config, or of the flag --runtime."""

    ANY = "tensorflow"  # always the value in a file that TensorFlow Serving reads too
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino_bf16"
    """With bfloat16 instead of float32 where the processor supports it: two or three digits of precision."""


class LoadOptions(TypedDict, total=False):
    """The options of `load_runtime`."""

    platform: str
    """One of Platform."""
    threads: int
    """The number of threads that call the runtime at once."""


def load_runtime(version_dir: Path, *, platform: str = Platform.ANY, threads: int = 1) -> Runtime:
    """Load the model of a version folder. Raises ModelLoadError.

    A loaded model no longer depends on its files: they may be overwritten or deleted.
    """
    if platform not in list(Platform):
        raise ModelLoadError(f"its model_platform is {platform!r:.100}: expected one of {', '.join(Platform)}")
    if (version_dir / ONNX_FILE).is_file():
        return _load_onnx(version_dir, Platform(platform), threads)
    if (version_dir / SAVED_MODEL_FILE).is_file():
        return _load_saved_model(version_dir)
    raise ModelLoadError(f"the version folder contains neither {ONNX_FILE} nor {SAVED_MODEL_FILE}")


def _load_onnx(version_dir: Path, platform: Platform, threads: int) -> Runtime:
    if len(model_files(version_dir)) == 1:  # both runtimes read this file and map only external data into memory
        return _run_onnx(version_dir / ONNX_FILE, platform, threads)
    try:
        with private_copy(version_dir) as folder:
            return _run_onnx(folder / ONNX_FILE, platform, threads)
    except OSError as error:
        raise ModelLoadError(f"cannot copy its files to the temporary folder: {error}") from error


def _run_onnx(path: Path, platform: Platform, threads: int) -> Runtime:
    # Imported here, so that a server without such a model needs neither the package nor the time to import it.
    if platform in {Platform.OPENVINO, Platform.OPENVINO_BF16}:
        if importlib.util.find_spec("openvino") is None:
            raise ModelLoadError(
                "it is to run in OpenVINO, which is not installed: pip install -r requirements/openvino.txt, "
                "or start the server with --runtime=onnxruntime"
            )
        from moon_vision_challenge.model_server.openvino_runtime import OpenVinoModel

        return OpenVinoModel(path, threads=threads, precision="bf16" if platform == Platform.OPENVINO_BF16 else "f32")
    from moon_vision_challenge.model_server.onnx_runtime import OnnxModel

    return OnnxModel(path)


def _load_saved_model(version_dir: Path) -> Runtime:
    if importlib.util.find_spec("tensorflow") is None:
        raise ModelLoadError(
            "this is a SavedModel, but TensorFlow is not installed: pip install -r requirements/tensorflow.txt"
        )
    from moon_vision_challenge.model_server.tensorflow_runtime import SavedModel

    return SavedModel(version_dir)
