"""What the server asks of whatever runs a model, and which runtime a version folder calls for."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

DEFAULT_SIGNATURE = "serving_default"

# TensorFlow's names of the element types, as /metadata gives them.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_HALF": np.dtype(np.float16),
    "DT_UINT8": np.dtype(np.uint8),
    "DT_INT8": np.dtype(np.int8),
    "DT_UINT16": np.dtype(np.uint16),
    "DT_INT16": np.dtype(np.int16),
    "DT_UINT32": np.dtype(np.uint32),
    "DT_INT32": np.dtype(np.int32),
    "DT_UINT64": np.dtype(np.uint64),
    "DT_INT64": np.dtype(np.int64),
    "DT_BOOL": np.dtype(np.bool_),
    "DT_STRING": np.dtype(object),  # of bytes
}


class ModelLoadError(Exception):
    """The version folder holds nothing that can be served; the message says why."""


class InvalidInputError(ValueError):
    """The model cannot take these inputs: another input may do."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the client sees it: `name` in the graph, `dtype` of NUMPY_DTYPES, -1 for a free dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


class Runtime(Protocol):
    """A loaded model. It is called from several threads at once."""

    @property
    def signatures(self) -> Mapping[str, Signature]: ...

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """The inputs of the runs that a request is best made of, in the order of its items; at least one.

        Raises InvalidInputError.
        """

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Takes what `split` gave, an array in its dtype for each input of the signature; gives one for each output.

        Raises InvalidInputError.
        """


def load_runtime(version_dir: Path) -> Runtime:
    """Loads the model in a version folder, by what the folder holds. Raises ModelLoadError."""
    if (version_dir / "model.onnx").is_file():
        # Imported here so that a server without such a model does not pay for it, nor need it installed.
        from moon_vision_challenge.model_server.onnx_runtime import OnnxModel  # noqa: PLC0415

        return OnnxModel(version_dir / "model.onnx")
    if (version_dir / "saved_model.pb").is_file():
        if importlib.util.find_spec("tensorflow") is None:
            raise ModelLoadError(
                "this is a SavedModel, and TensorFlow is not installed: pip install -r requirements/tensorflow.txt"
            )
        from moon_vision_challenge.model_server.tensorflow_runtime import SavedModel  # noqa: PLC0415

        return SavedModel(version_dir)
    raise ModelLoadError("the version folder holds neither model.onnx nor saved_model.pb")
