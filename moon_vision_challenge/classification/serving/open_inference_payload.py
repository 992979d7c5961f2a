"""Converts payloads of TensorFlow Serving's REST API to tensors of the Open Inference Protocol, and replies back."""

import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import pybase64

from moon_vision_challenge.classification.serving.payload import as_lists
from moon_vision_challenge.classification.serving.protocol import DEFAULT_SIGNATURE, TensorInfo
from moon_vision_challenge.tensor_data import DATATYPES, TensorError, datatype_of


def read_payload(payload: Mapping[str, Any], inputs: Mapping[str, TensorInfo]) -> "dict[str, np.ndarray[Any, Any]]":
    """Return one array for each input of the model. Raises TensorError."""
    if payload.get("signature_name", DEFAULT_SIGNATURE) != DEFAULT_SIGNATURE:
        raise TensorError("the Open Inference Protocol has no signatures: leave signature_name out")
    columns = _columns(payload, inputs)
    try:
        return {name: _array(name, columns[name], tensor) for name, tensor in inputs.items()}
    except KeyError as error:
        raise TensorError(f"the payload has no input {error.args[0]}") from error


def _columns(payload: Mapping[str, Any], inputs: Mapping[str, TensorInfo]) -> Mapping[str, Any]:
    if "instances" in payload:
        instances = payload["instances"]
        if not all(map(_is_named, instances)):
            return _only(inputs, instances)
        return {name: [instance[name] for instance in instances] for name in inputs if name in instances[0]}
    if "inputs" in payload:
        values = payload["inputs"]
        return values if _is_named(values) else _only(inputs, values)
    raise TensorError("the payload has neither 'instances' nor 'inputs'")


def _only(inputs: Mapping[str, TensorInfo], values: Any) -> dict[str, Any]:
    if len(inputs) != 1:
        raise TensorError(f"the model has several inputs, so name them: {', '.join(inputs)}")
    return dict.fromkeys(inputs, values)


def _is_named(value: Any) -> bool:
    """Return whether the value is an object of named tensors, and not one that represents a string of bytes."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _array(name: str, values: Any, tensor: TensorInfo) -> "np.ndarray[Any, Any]":
    try:
        if tensor.dtype == "DT_STRING":
            return _strings(values, tensor)
        return _exact(_numbers(values), DATATYPES[datatype_of(tensor.dtype)])
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorError(f"the input {name}: {error}") from error


def _numbers(values: Any) -> "np.ndarray[Any, Any]":
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], np.ndarray):
        return values[0][np.newaxis]  # without a copy
    return np.asarray(values)


def _exact(array: "np.ndarray[Any, Any]", dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    """Convert numbers to another type. Conversion to a float may round."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "biuf":
        raise TensorError(f"{array.dtype} are not numbers")
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
    if dtype.kind != "f" and not (converted == array).all():
        raise TensorError(f"some numbers are not of the type {dtype.name}")
    return converted


def _strings(values: Any, tensor: TensorInfo) -> "np.ndarray[Any, Any]":
    """Return one string per item, in the model's rank. On some servers, a batch of strings has the shape [N, 1]."""
    items = [_bytes(value) for value in (values if isinstance(values, list | tuple | np.ndarray) else [values])]
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(-1, *[1] * (len(tensor.shape) - 1))


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        try:
            return pybase64.b64decode(value["b64"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise TensorError("an object that is not base64") from error
    if not isinstance(value, bytes):
        raise TensorError(f"{type(value).__name__} is not a string")
    return value


def write_body(payload: Mapping[str, Any], outputs: "Mapping[str, np.ndarray[Any, Any]]") -> dict[str, Any]:
    """Return `predictions` for `instances`, else `outputs`. A single output has no name. Raises TensorError."""
    if not outputs:
        raise TensorError("the reply has no outputs")
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise TensorError(f"the output {name} holds numbers that are not finite")
    texts = {name: _text(array) if array.dtype == object else array for name, array in outputs.items()}
    single = next(iter(texts.values())) if len(texts) == 1 else None
    if "instances" not in payload:
        return {"outputs": texts if single is None else single}
    if single is not None and single.ndim > 1:
        return {"predictions": list(single)}  # an array for each instance
    rows = {name: as_lists(array) for name, array in texts.items()}
    if not all(isinstance(values, list) for values in rows.values()) or len(set(map(len, rows.values()))) > 1:
        raise TensorError("the outputs have no common batch size")
    if single is not None:
        return {"predictions": next(iter(rows.values()))}
    return {"predictions": [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]}


def _text(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Decode bytes to text, as TensorFlow Serving's API returns it."""
    texts = np.empty(array.size, object)
    try:
        texts[:] = [item.decode() for item in array.flat]
    except UnicodeDecodeError as error:
        raise TensorError("an output holds bytes that are not UTF-8 text") from error
    return texts.reshape(array.shape)
