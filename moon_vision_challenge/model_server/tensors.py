"""Converts JSON of the predict API to arrays and back.

The row format has `instances` and `predictions`, and the column format has `inputs` and `outputs`. Rules and messages
follow https://www.tensorflow.org/tfx/serving/api_rest and tensorflow_serving/util/json_tensor.cc.
"""

import binascii
import codecs
import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pybase64

from moon_vision_challenge.model_server.runtime import NUMPY_DTYPES, InvalidInputError, SignatureSpec, TensorSpec

# The largest whole numbers that a float holds exactly: kMaxInt of json_tensor.cc.
_MAX_EXACT = {"DT_HALF": 2**11 - 1, "DT_FLOAT": 2**24 - 1, "DT_DOUBLE": 2**53 - 1}
_MAX_DIMENSIONS = 64  # NumPy's limit


def parse_request(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request. NaN and Infinity are numbers. Raises InvalidInputError."""
    if not body:
        raise InvalidInputError("JSON Parse error: The document is empty")
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        request = _loads(body)
    except json.JSONDecodeError as error:  # orjson's error is a subclass
        raise InvalidInputError(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidInputError(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise InvalidInputError(f"JSON Value: {_shown(request)} Is not object")
    return request


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"NaN" in body or b"Infinity" in body:  # checking first would cost more than parsing
            return json.loads(body, parse_int=orjson.loads)  # orjson makes floats of integers beyond 64 bits
        raise


def read_inputs(request: Mapping[str, Any], signature: SignatureSpec) -> tuple[dict[str, np.ndarray], bool]:
    """Return one array for each input of the signature, and whether the request is in the row format.

    Raises InvalidInputError.
    """
    if "instances" in request and "inputs" in request:
        raise InvalidInputError("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in request:
        columns = _columns_of_instances(request["instances"], signature)
    elif "inputs" in request:
        columns = _columns_of_inputs(request["inputs"], signature)
    else:
        raise InvalidInputError("Missing 'inputs' or 'instances' key")
    return {
        name: _to_array(name, columns[name], info) for name, info in signature.inputs.items()
    }, "instances" in request


def _columns_of_instances(instances: Any, signature: SignatureSpec) -> dict[str, Any]:
    if not isinstance(instances, list):
        raise InvalidInputError("Excepting 'instances' to be an list/array")
    if not instances:
        raise InvalidInputError("No values in 'instances' array")
    names = set(signature.inputs)
    named = [_is_object(instance) for instance in instances]
    if not any(named):
        if len(names) > 1:
            raise InvalidInputError(
                "instances is a plain list, but expecting list of objects as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return dict.fromkeys(names, instances)
    if not all(named):
        raise InvalidInputError(
            f"instances mixes objects with values or lists, first at item {named.index(not named[0])} of input list"
        )
    for index, instance in enumerate(instances):
        if set(instance) != names:
            raise InvalidInputError(
                f"Failed to process element: {index} of 'instances' list. JSON object: {_shown(instance)} "
                f"keys must be equal to: {','.join(sorted(names))}"
            )
    return {name: [instance[name] for instance in instances] for name in names}


def _columns_of_inputs(inputs: Any, signature: SignatureSpec) -> dict[str, Any]:
    if not _is_object(inputs):
        if len(signature.inputs) > 1:
            raise InvalidInputError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return dict.fromkeys(signature.inputs, inputs)
    for name in signature.inputs:
        if name not in inputs:
            raise InvalidInputError(f"Missing named input: {name} in 'inputs' object.")
    return dict(inputs)


def _is_object(value: Any) -> bool:
    """Return whether this is an object of named tensors, not one that stands for a string of bytes."""
    return isinstance(value, dict) and not (len(value) == 1 and isinstance(value.get("b64"), str))


def _type_name(dtype: str) -> str:
    """Return the name in TensorFlow Serving's messages: float, double, int32, string."""
    return dtype.removeprefix("DT_").lower()


def _shown(value: Any) -> str:
    """Return the start of a JSON value, for an error message."""
    return f"{value!r:.120}"


def _to_array(name: str, value: Any, info: TensorSpec) -> np.ndarray:
    """Convert nested lists of one shape to an array.

    Each level is checked as a whole, so that the work per number is done in C.
    """
    shape: list[int] = []
    items = [value]
    while items and isinstance(items[0], list):
        if set(map(type, items)) != {list}:
            raise InvalidInputError(f"Input {name}: lists and values are mixed at level {len(shape)}")
        sizes = set(map(len, items))
        if len(sizes) > 1:
            raise InvalidInputError(
                f"Input {name}: lists of different sizes ({min(sizes)} and {max(sizes)}) at level {len(shape)}"
            )
        shape.append(sizes.pop())
        if len(shape) > _MAX_DIMENSIONS:
            raise InvalidInputError(f"Input {name}: lists in more than {_MAX_DIMENSIONS} levels")
        items = list(chain.from_iterable(items))
    array = _strings(items) if info.dtype == "DT_STRING" else _numbers(name, items, info.dtype)
    return array.reshape(shape)


def _strings(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        if isinstance(item, str):
            array[index] = item.encode()
        elif isinstance(item, dict) and not _is_object(item):
            array[index] = _decode_base64(item["b64"])
        elif isinstance(item, dict):
            raise InvalidInputError(f"JSON Value: {_shown(item)} not formatted correctly for base64 data")
        else:
            raise InvalidInputError(f"JSON Value: {_shown(item)} is not of expected type: string")
    return array


def _decode_base64(text: str) -> bytes:
    """Decode base64. Padding is optional and whitespace is allowed, as in TensorFlow Serving."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        text = "".join(text.split())
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("Unable to base64 decode") from error


def _numbers(name: str, items: list[Any], dtype: str) -> np.ndarray:
    allowed = {bool} if dtype == "DT_BOOL" else {int, float} if dtype in _MAX_EXACT else {int}
    if not set(map(type, items)) <= allowed:
        wrong = next(item for item in items if type(item) not in allowed)
        raise InvalidInputError(
            f"Input {name}: JSON Value: {_shown(wrong)} is not of expected type: {_type_name(dtype)}"
        )
    try:
        if dtype not in _MAX_EXACT:
            return np.array(items, dtype=NUMPY_DTYPES[dtype])
        exact = np.array(items, dtype=np.float64)
    except OverflowError as error:
        raise InvalidInputError(f"Input {name}: {error}") from error
    limit = float(np.finfo(NUMPY_DTYPES[dtype]).max)
    too_large = np.isfinite(exact) & (np.abs(exact) > limit)
    if int in set(map(type, items)):
        too_large |= (np.abs(exact) > _MAX_EXACT[dtype]) & np.fromiter(
            (type(item) is int for item in items), bool, len(items)
        )
    if too_large.any():
        wrong = items[int(too_large.argmax())]
        raise InvalidInputError(f"Cannot convert JSON value: {wrong} to {_type_name(dtype)} without loss of precision.")
    return exact.astype(NUMPY_DTYPES[dtype])


def write_outputs(outputs: Mapping[str, np.ndarray], *, row_format: bool) -> bytes:
    """Return the body of the answer. A float is the shortest text that reads back as itself, so nothing is lost.

    A single output is written without its name. Raises InvalidInputError if rows are requested and an output has none.
    """
    values = {name: _writable(name, array) for name, array in outputs.items()}
    if row_format:
        sizes = {array.shape[:1] for array in outputs.values()}
        if len(sizes) > 1 or () in sizes:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
            raise InvalidInputError(f"The outputs have no common batch size ({shapes}): ask for them with 'inputs'")
        rows = (
            [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
            if len(values) > 1
            else None
        )
        answer = {"predictions": next(iter(values.values())) if rows is None else rows}
    else:
        answer = {"outputs": values if len(values) > 1 else next(iter(values.values()))}
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values()):
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(
        answer, default=lambda value: value.tolist()
    ).encode()  # writes NaN and Infinity, as TensorFlow Serving does


def _writable(name: str, array: np.ndarray) -> Any:
    """Return the array in a form that orjson can write: contiguous, a scalar as such, int64 for onnxruntime's longlong.

    Strings are text, or base64 if the name of the output ends in _bytes.
    """
    if array.dtype != object:
        return np.asarray(array, order="C").view(np.dtype(array.dtype.str))[()]
    binary = name.endswith("_bytes")
    return _map_nested(array.tolist(), _to_base64 if binary else _to_text)


def _map_nested(value: Any, function: Callable[[Any], Any]) -> Any:
    return [_map_nested(item, function) for item in value] if isinstance(value, list) else function(value)


def _to_base64(value: str | bytes) -> dict[str, str]:
    data = value.encode() if isinstance(value, str) else value
    return {"b64": pybase64.b64encode_as_string(data)}


def _to_text(value: str | bytes) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("An output holds bytes that are not UTF-8: its name should end in _bytes") from error
