"""Runs model.onnx with onnxruntime. onnx_signatures.py describes the signatures that a model may add."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from moon_vision_challenge.model_server.onnx_signatures import SIGNATURES_PROPERTY, ModelOfOnnxFile, OnnxSignatures
from moon_vision_challenge.model_server.runtime import InvalidInputError, ModelLoadError, TensorSpec

_DTYPES = {
    "tensor(float)": "DT_FLOAT",
    "tensor(double)": "DT_DOUBLE",
    "tensor(float16)": "DT_HALF",
    "tensor(string)": "DT_STRING",
    **{
        f"tensor({name})": f"DT_{name.upper()}"
        for name in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
    },
}

# onnxruntime's exceptions have no common base below Exception.
_LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_RUN_ERRORS = (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException)


def _tensor_info(argument: Any) -> TensorSpec:
    if "map(" in argument.type:
        raise ModelLoadError(
            f"the output {argument.name} is a list of maps (ZipMap), which the REST API cannot carry: add the model "
            "with `make add_model`, which replaces it, or export it again with the option zipmap=False"
        )
    if argument.type not in _DTYPES:
        raise ModelLoadError(
            f"the tensor {argument.name} has the type {argument.type}, which the REST API cannot carry"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return TensorSpec(argument.name, _DTYPES[argument.type], shape)


class OnnxModel(ModelOfOnnxFile):
    """A model whose runs take one thread each: concurrent requests run in parallel instead of sharing a pool."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # errors are raised as well, and this server logs them once
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            inputs = {argument.name: _tensor_info(argument) for argument in self._session.get_inputs()}
            outputs = {argument.name: _tensor_info(argument) for argument in self._session.get_outputs()}
            text = self._session.get_modelmeta().custom_metadata_map.get(SIGNATURES_PROPERTY)
            self._signatures = OnnxSignatures(inputs, outputs, text)
            if (zeros := self._signatures.zeros()) is not None:  # so that no client's request pays for allocation
                self._session.run(None, zeros)
        except _LOAD_ERRORS as error:
            raise ModelLoadError(f"onnxruntime cannot load it: {error}") from error

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Runtime.run."""
        outputs = self.signatures[signature_name].outputs
        feeds = {
            name: _decoded(name, array) if array.dtype == object else array
            for name, array in self._signatures.feeds(signature_name, inputs).items()
        }
        try:
            results = self._session.run([info.name for info in outputs.values()], feeds)
        except _RUN_ERRORS as error:
            raise InvalidInputError(str(error)) from error
        return dict(zip(outputs, results, strict=True))


def _decoded(name: str, array: np.ndarray) -> np.ndarray:
    """Decode strings, which are text in ONNX and bytes in TensorFlow."""
    try:
        return np.array([item.decode() for item in array.flat], dtype=object).reshape(array.shape)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name} holds bytes that are not UTF-8 text") from error
