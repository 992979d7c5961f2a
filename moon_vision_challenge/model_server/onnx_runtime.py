"""Runs model.onnx with onnxruntime.

Every model has the signature `serving_default`, the graph's own inputs and outputs. A model may add signatures, or
replace that one, in its metadata property `serving_signatures`, a JSON object such as

    {"raw": {"inputs": {"images": {"tensor": "images", "encoding": "raw"}},
             "outputs": {"probabilities": "probabilities"}}}

where the names on the left are what clients see and those on the right are tensors of the graph. An input with the
encoding `raw` is a string tensor to the client: one string of bytes per item, which is the memory of that item in C
order, little-endian. Items of a signature with no other inputs may run separately, so they must be independent.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from moon_vision_challenge.model_server.runtime import (
    DEFAULT_SIGNATURE,
    NUMPY_DTYPES,
    InvalidInputError,
    ModelLoadError,
    SignatureSpec,
    TensorSpec,
)

SIGNATURES_PROPERTY = "serving_signatures"

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

# The intermediate results of eight images do not fit into a core's cache: one run can take a fifth longer than four
# runs of two, which several cores can share. docs/decisions/0004-the-model-server-is-one-process.md
_ITEMS_A_RUN = 2

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


class OnnxModel:
    """Sessions with one thread per run: concurrent requests run in parallel instead of sharing a pool."""

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
            self._inputs = {argument.name: _tensor_info(argument) for argument in self._session.get_inputs()}
            self._outputs = {argument.name: _tensor_info(argument) for argument in self._session.get_outputs()}
            self._raw: dict[str, set[str]] = {}  # by signature, the inputs that arrive as bytes
            self._split: set[str] = set()  # signatures that take any number of items as bytes, with one answer per item
            self._signatures = {DEFAULT_SIGNATURE: SignatureSpec(self._inputs, self._outputs)}
            self._read_signatures()
            self._warm_up()
        except _LOAD_ERRORS as error:
            raise ModelLoadError(f"onnxruntime cannot load it: {error}") from error

    @property
    def signatures(self) -> Mapping[str, SignatureSpec]:
        return self._signatures

    def _read_signatures(self) -> None:
        text = self._session.get_modelmeta().custom_metadata_map.get(SIGNATURES_PROPERTY)
        if text is None:
            return
        try:
            for name, definition in json.loads(text).items():
                raw = {alias for alias, source in definition["inputs"].items() if source.get("encoding") == "raw"}
                inputs = {alias: self._inputs[source["tensor"]] for alias, source in definition["inputs"].items()}
                outputs = {alias: self._outputs[tensor] for alias, tensor in definition["outputs"].items()}
                if {tensor.name for tensor in inputs.values()} != set(self._inputs):
                    raise ModelLoadError(f"its signature {name} does not feed every input of the graph once")
                for alias in raw:
                    tensor = inputs[alias]
                    if tensor.dtype == "DT_STRING" or min(tensor.shape[1:], default=-1) < 1:
                        raise ModelLoadError(
                            f"its input {tensor.name} cannot be raw bytes: an item must have a fixed size"
                        )
                    inputs[alias] = TensorSpec(tensor.name, "DT_STRING", tensor.shape[:1])
                self._raw[name] = raw
                self._signatures[name] = SignatureSpec(inputs, outputs)
                free = all(tensor.shape[:1] == (-1,) for tensor in [*inputs.values(), *outputs.values()])
                if free and raw == set(inputs):
                    self._split.add(name)
                    if len(self._inputs) == len(self._outputs) == len(outputs) == 1:  # the same items, as an array
                        self._split.add(DEFAULT_SIGNATURE)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"its metadata property {SIGNATURES_PROPERTY} is malformed: {error!r}") from error

    def _warm_up(self) -> None:
        """Run once now, so that no client's request pays for allocation and packing.

        This is impossible if more than the batch size is free.
        """
        if all(min(info.shape[1:], default=1) > 0 and info.dtype != "DT_STRING" for info in self._inputs.values()):
            sizes = {name: [max(size, 1) for size in info.shape] for name, info in self._inputs.items()}
            zeros = {name: np.zeros(size, NUMPY_DTYPES[self._inputs[name].dtype]) for name, size in sizes.items()}
            self._session.run(None, zeros)

    def _check_raw(self, tensor: TensorSpec, items: np.ndarray) -> None:
        expected = math.prod(tensor.shape[1:]) * NUMPY_DTYPES[tensor.dtype].itemsize
        if items.ndim != 1:
            raise InvalidInputError(
                f"{tensor.name} must be one string of bytes per item, not a tensor of rank {items.ndim - 1}"
            )
        for index, item in enumerate(items):
            if len(item) != expected:
                raise InvalidInputError(
                    f"item {index} of {tensor.name} has {len(item)} bytes; "
                    f"{expected} are needed: {list(tensor.shape[1:])} of {NUMPY_DTYPES[tensor.dtype].name}"
                )

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:
        """See Runtime.split. Items that arrive as bytes are independent."""
        signature = self._signatures[signature_name]
        for alias in self._raw.get(signature_name, set()):
            self._check_raw(self._inputs[signature.inputs[alias].name], inputs[alias])
        count = max(sum(items.shape[:1]) for items in inputs.values()) if signature_name in self._split else 1
        if count <= _ITEMS_A_RUN:
            return [inputs]
        return [
            {alias: items[first : first + _ITEMS_A_RUN] for alias, items in inputs.items()}
            for first in range(0, count, _ITEMS_A_RUN)
        ]

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Runtime.run."""
        signature = self._signatures[signature_name]
        raw = self._raw.get(signature_name, set())
        feeds: dict[str, np.ndarray] = {}
        for alias, array in inputs.items():
            tensor = self._inputs[signature.inputs[alias].name]
            if alias in raw:
                memory = array[0] if len(array) == 1 else b"".join(array)
                feeds[tensor.name] = np.frombuffer(memory, NUMPY_DTYPES[tensor.dtype]).reshape(-1, *tensor.shape[1:])
            elif tensor.dtype == "DT_STRING":
                feeds[tensor.name] = _decoded(tensor.name, array)
            else:
                feeds[tensor.name] = array
        try:
            results = self._session.run([info.name for info in signature.outputs.values()], feeds)
        except _RUN_ERRORS as error:
            raise InvalidInputError(str(error)) from error
        return dict(zip(signature.outputs, results, strict=True))


def _decoded(name: str, array: np.ndarray) -> np.ndarray:
    """ONNX strings are text, TensorFlow strings are bytes."""
    try:
        return np.array([item.decode() for item in array.flat], dtype=object).reshape(array.shape)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name} holds bytes that are not UTF-8 text") from error
