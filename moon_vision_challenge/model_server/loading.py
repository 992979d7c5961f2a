"""Chooses the runtime of a model by the files in its version folder."""

import importlib.util
from pathlib import Path

from moon_vision_challenge.model_server.files import ONNX_FILE, SAVED_MODEL_FILE, model_files, private_copy
from moon_vision_challenge.model_server.runtime import ModelLoadError, Runtime


def load_runtime(version_dir: Path) -> Runtime:
    """Loads the model of a version folder. Raises ModelLoadError.

    A loaded model no longer depends on its files: they may be overwritten or deleted.
    """
    if (version_dir / ONNX_FILE).is_file():
        return _load_onnx(version_dir)
    if (version_dir / SAVED_MODEL_FILE).is_file():
        return _load_saved_model(version_dir)
    raise ModelLoadError(f"the version folder contains neither {ONNX_FILE} nor {SAVED_MODEL_FILE}")


def _load_onnx(version_dir: Path) -> Runtime:
    # Imported here, so that a server without such a model needs neither the time nor the package.
    from moon_vision_challenge.model_server.onnx_runtime import OnnxModel

    if len(model_files(version_dir)) == 1:  # onnxruntime reads this file and maps only external data into memory
        return OnnxModel(version_dir / ONNX_FILE)
    try:
        with private_copy(version_dir) as folder:
            return OnnxModel(folder / ONNX_FILE)
    except OSError as error:
        raise ModelLoadError(f"cannot copy its files to the temporary folder: {error}") from error


def _load_saved_model(version_dir: Path) -> Runtime:
    if importlib.util.find_spec("tensorflow") is None:
        raise ModelLoadError(
            "this is a SavedModel, but TensorFlow is not installed: pip install -r requirements/tensorflow.txt"
        )
    from moon_vision_challenge.model_server.tensorflow_runtime import SavedModel

    return SavedModel(version_dir)
