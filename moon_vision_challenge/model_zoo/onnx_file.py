"""Reads an ONNX file, and writes the copy that is served."""

import json
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper, helper

from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.inspected import Inspected, Signature, Tensor

SIGNATURES_PROPERTY = "serving_signatures"  # model_server.onnx_signatures reads it

_LFS = b"version https://git-lfs.github.com/spec/"
_DTYPES = {"float": "DT_FLOAT", "double": "DT_DOUBLE", "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16"}


class OnnxFile:
    """An ONNX file that onnxruntime can run. Raises AddError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._proto = _load(path)
        _refuse_detector(self._proto.graph)
        self.external_files = _external_files(self._proto, path)
        self.labels = _make_tensors_of_maps(self._proto)
        self._session = self._start()

    def _start(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        source: Any = self.path if self.labels is None else self._proto.SerializeToString()
        try:
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base below it
            raise AddError(f"{self.path} cannot be loaded by onnxruntime: {_load_problem(error)}") from error

    def inspect(self) -> Inspected:
        """Return its inputs and outputs, as the model server shows them. Raises AddError."""
        inputs = {one.name: _tensor(one) for one in self._session.get_inputs()}
        outputs = {one.name: _tensor(one) for one in self._session.get_outputs()}
        opsets = ", ".join(f"{one.domain or 'ai.onnx'} {one.version}" for one in self._proto.opset_import)
        producer = f"{self._proto.producer_name} {self._proto.producer_version}".strip()
        return Inspected(
            kind="ONNX",
            signatures={"serving_default": Signature(inputs, outputs)},
            made_with=f"opset {opsets}" + (f", by {producer}" if producer else ""),
            size_bytes=sum(path.stat().st_size for path in [self.path, *self.external_files.values()]),
            properties={one.key: one.value for one in self._proto.metadata_props},
            labels=self.labels or None,
        )

    def run(self, pixels: np.ndarray) -> dict[str, Any]:
        """Return the outputs for one image, by name, in the form of a row of the REST API. Raises AddError."""
        [argument] = self._session.get_inputs()
        dtype = argument.type.removeprefix("tensor(").removesuffix(")")
        numpy_dtype = {"float": "float32", "double": "float64"}.get(dtype, dtype)
        count = argument.shape[0] if isinstance(argument.shape[0], int) else 1
        try:
            found = self._session.run(None, {argument.name: np.stack([pixels.astype(numpy_dtype)] * count)})
        except Exception as error:  # as above
            raise AddError(f"The model cannot be run on the picture: {_first_line(error)}") from error
        names = [one.name for one in self._session.get_outputs()]
        return {name: np.asarray(value[0]).tolist() for name, value in zip(names, found, strict=True) if value.ndim}

    def save(self, folder: Path) -> None:
        """Write model.onnx and its external data into a folder."""
        for name, source in self.external_files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        target = folder / "model.onnx"
        if self.labels is None:
            shutil.copyfile(self.path, target)
        else:
            target.write_bytes(self._proto.SerializeToString())
        if (signatures := self._raw_signature()) is not None:
            addition = onnx.ModelProto()
            helper.set_model_props(addition, {SIGNATURES_PROPERTY: json.dumps(signatures)})
            with target.open("ab") as file:  # protobuf merges consecutive messages
                file.write(addition.SerializeToString())

    def _raw_signature(self) -> dict[str, Any] | None:
        """Return a signature `raw` that accepts bytes instead of lists of numbers, or None if that is impossible."""
        arguments = self._session.get_inputs()
        fixed = len(arguments) == 1 and all(isinstance(size, int) for size in arguments[0].shape[1:])
        if not fixed or any(one.key == SIGNATURES_PROPERTY for one in self._proto.metadata_props):
            return None
        name = arguments[0].name
        outputs = {one.name: one.name for one in self._session.get_outputs()}
        return {"raw": {"inputs": {name: {"tensor": name, "encoding": "raw"}}, "outputs": outputs}}


def _load(path: Path) -> onnx.ModelProto:
    try:
        _refuse_pointer(path)
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise AddError(f"{path} is not an ONNX model, or is cut short.") from error
    except OSError as error:
        raise AddError(f"{path} cannot be read: {error.strerror}.") from error
    if not proto.graph.node:
        raise AddError(f"{path} is not an ONNX model: it holds no graph.")
    return proto


def _refuse_pointer(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_LFS)) == _LFS:
            raise AddError(f"{path} is only a pointer of Git LFS. Get the file with `git lfs pull`.")


def _refuse_detector(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type == "NonMaxSuppression":
            raise AddError("This is a detector, not a classifier: it selects boxes (NonMaxSuppression).")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _refuse_detector(attribute.g)


def _external_files(proto: onnx.ModelProto, path: Path) -> dict[str, Path]:
    """Return the files of weights that are stored next to the model, by name."""
    found: dict[str, Path] = {}
    for tensor in external_data_helper._get_all_tensors(proto):
        if not external_data_helper.uses_external_data(tensor):
            continue
        name = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name == "model.onnx":
            raise AddError(f"{path} names a file of weights that cannot be copied: {name!r}.")
        if not (path.parent / name).is_file():
            raise AddError(f"{path} needs the file {name} next to it, which does not exist.")
        if name not in found:
            _refuse_pointer(path.parent / name)
        found[name] = path.parent / name
    return found


def _make_tensors_of_maps(proto: onnx.ModelProto) -> tuple[str, ...] | None:
    """Replace ZipMap, whose lists of maps the REST API cannot carry, with the scores that go into it.

    Returns:
        The labels that it held. Empty if they are numbers. None if the model does not have a ZipMap.
    """
    labels: tuple[str, ...] | None = None
    outputs = {one.name: one for one in proto.graph.output}
    for node in proto.graph.node:
        if node.op_type != "ZipMap" or node.output[0] not in outputs:
            continue
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        labels = tuple(one.decode() for one in attributes.get("classlabels_strings", []))
        count = len(labels) or len(attributes.get("classlabels_int64s", [])) or None
        scores = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None, count])
        outputs[node.output[0]].CopyFrom(scores)
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    return labels


def _tensor(argument: Any) -> Tensor:
    name = argument.type.removeprefix("tensor(").removesuffix(")")
    if not argument.type.startswith("tensor("):
        raise AddError(f"The model's {argument.name} is of the type {argument.type}, which the REST API cannot carry.")
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return Tensor(_DTYPES.get(name, f"DT_{name.upper()}"), shape)


def _load_problem(error: Exception) -> str:
    """Return the reason, without the location in onnxruntime's own source."""
    text = re.sub(r".*\.(?:cc|h):\d+ .*?\) (?=[A-Z])", "", _whole_line(error))
    if (limit := re.search(r"Unsupported model IR version.*|Current official support for domain .*", text)) is not None:
        return f"{limit[0].rstrip('.')}. Export the model with a lower opset."
    return text[:300]


def _whole_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _first_line(error: Exception) -> str:
    return _whole_line(error)[:300]
