"""Converts requests of the Open Inference Protocol to arrays, and arrays to responses."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from moon_vision_challenge.model_server.runtime import InvalidInputError, SignatureSpec, TensorSpec
from moon_vision_challenge.model_server.tensors import parse_request
from moon_vision_challenge.tensor_data import (
    TensorError,
    check_shape,
    datatype_of,
    from_binary,
    from_json,
    to_binary,
    to_json,
)

_MAX_DIGITS = 18  # of a length


class InferRequest(NamedTuple):
    """The tensors of a request, and the outputs that it asks for."""

    id: str
    inputs: dict[str, "np.ndarray[Any, Any]"]
    outputs: dict[str, bool]
    """The outputs that the client wants, and whether each is sent as binary data."""


def read_request(content: bytes, json_length: str, signature: SignatureSpec) -> InferRequest:
    """Read a request. `json_length` is the header's value, empty if the body is only JSON. Raises InvalidInputError."""
    length = _length(json_length, len(content))
    request = parse_request(content if length == len(content) else content[:length])
    try:
        inputs = _read_inputs(request, memoryview(content)[length:], signature)
        return InferRequest(_text(request, "id"), inputs, _wanted_outputs(request, signature))
    except TensorError as error:
        raise InvalidInputError(str(error)) from error


def _length(text: str, size: int) -> int:
    if not text:
        return size
    if not (text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS and int(text) <= size):
        raise InvalidInputError(
            f"Inference-Header-Content-Length is {text:.50}, but the body has {size} bytes: "
            "it is the length of the JSON at the body's start"
        )
    return int(text)


def _read_inputs(
    request: Mapping[str, Any], binary: memoryview, signature: SignatureSpec
) -> dict[str, "np.ndarray[Any, Any]"]:
    inputs: dict[str, np.ndarray[Any, Any]] = {}
    for tensor in _objects(request, "inputs"):
        name = _text(tensor, "name")
        if name not in signature.inputs:
            raise InvalidInputError(f"The model has no input {name!r:.200}: it has {', '.join(signature.inputs)}")
        if name in inputs:
            raise InvalidInputError(f"The input {name} is given twice")
        try:
            inputs[name], binary = _read_input(tensor, binary, signature.inputs[name])
        except TensorError as error:
            raise InvalidInputError(f"Input {name}: {error}") from error
    if missing := [name for name in signature.inputs if name not in inputs]:
        raise InvalidInputError(f"Missing inputs: {', '.join(missing)}")
    if len(binary):
        raise InvalidInputError(f"{len(binary)} bytes follow the binary data of the inputs")
    return inputs


def _read_input(
    tensor: Mapping[str, Any], binary: memoryview, spec: TensorSpec
) -> tuple["np.ndarray[Any, Any]", memoryview]:
    """Return the array, and the binary data that remains."""
    shape, datatype = check_shape(tensor.get("shape")), _text(tensor, "datatype")
    if datatype != datatype_of(spec.dtype):
        raise TensorError(f"its datatype is {datatype_of(spec.dtype)}, not {datatype:.100}")
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        return from_json(tensor.get("data"), datatype, shape), binary
    if "data" in tensor:
        raise TensorError("it has both 'data' and binary_data_size")
    if not (type(size) is int and 0 <= size <= len(binary)):
        raise TensorError(f"binary_data_size is {size!r:.100}, but {len(binary)} bytes of binary data remain")
    return from_binary(binary[:size], datatype, shape), binary[size:]


def _wanted_outputs(request: Mapping[str, Any], signature: SignatureSpec) -> dict[str, bool]:
    all_binary = _flag(request, "binary_data_output")
    if "outputs" not in request:
        return dict.fromkeys(signature.outputs, all_binary)
    wanted: dict[str, bool] = {}
    for output in _objects(request, "outputs"):
        name = _text(output, "name")
        if name not in signature.outputs:
            raise InvalidInputError(f"The model has no output {name!r:.200}: it has {', '.join(signature.outputs)}")
        if _parameters(output).get("classification"):
            raise InvalidInputError(f"Output {name}: the classification extension is not available")
        wanted[name] = _flag(output, "binary_data", default=all_binary)
    return wanted or dict.fromkeys(signature.outputs, all_binary)


def _objects(owner: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = owner.get(key)
    if not (isinstance(found, list) and set(map(type, found)) <= {dict}):
        raise InvalidInputError(f"'{key}' must be a list of objects")
    return found


def _text(owner: Mapping[str, Any], key: str) -> str:
    value = owner.get(key, "")
    if not isinstance(value, str):
        raise InvalidInputError(f"'{key}' must be a string, not {value!r:.100}")
    return value


def _parameters(owner: Mapping[str, Any]) -> dict[str, Any]:
    found = owner.get("parameters", {})
    if not isinstance(found, dict):
        raise InvalidInputError("'parameters' must be an object")
    return found


def _flag(owner: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = _parameters(owner).get(name, default)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} must be true or false, not {value!r:.100}")
    return value


def write_response(
    head: dict[str, Any], outputs: Mapping[str, "np.ndarray[Any, Any]"], signature: SignatureSpec, request: InferRequest
) -> tuple[bytes, int | None]:
    """Return the body, and the length of its JSON if binary data follows.

    Raises InvalidInputError for bytes that JSON cannot carry.
    """
    tensors: list[dict[str, Any]] = []
    binary: list[bytes | memoryview] = []
    for name, is_binary in request.outputs.items():
        array, datatype = outputs[name], datatype_of(signature.outputs[name].dtype)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if is_binary:
            binary.append(to_binary(array, datatype))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = _json_data(name, array, datatype)
        tensors.append(tensor)
    content = _dump({**head, "outputs": tensors})
    return (b"".join([content, *binary]), len(content)) if binary else (content, None)


def _json_data(name: str, array: "np.ndarray[Any, Any]", datatype: str) -> Any:
    try:
        return to_json(array, datatype)
    except TensorError as error:
        raise InvalidInputError(f"Output {name}: {error}") from error


def _dump(response: dict[str, Any]) -> bytes:
    """Write NaN and Infinity as Python and JavaScript do, because JSON has no text for them."""
    data = [tensor["data"] for tensor in response["outputs"] if "data" in tensor]
    if all(np.isfinite(one).all() for one in data if isinstance(one, np.ndarray) and one.dtype.kind == "f"):
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(response, default=lambda value: value.tolist()).encode()
