"""Reads and writes tensors of the Open Inference Protocol, as JSON and as binary data, for gateway and model server.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension
"""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

BINARY_EXTENSION = "binary_tensor_data"
"""The name of the extension in a server's metadata."""

JSON_LENGTH_HEADER = "inference-header-content-length"
"""The header that states how many bytes of the body are JSON. The binary data follows."""

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),  # holds bytes
}

_TENSORFLOW_NAMES = {"FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING"}
_DATATYPES_OF_TENSORFLOW = {_TENSORFLOW_NAMES.get(name, f"DT_{name}"): name for name in DATATYPES}

_MAX_DIMENSIONS = 32
_MAX_SIZE = 2**31 - 1


class TensorError(ValueError):
    """The data is not a tensor of the stated type and shape."""


def tensorflow_type(datatype: str) -> str:
    """Convert FP32 to DT_FLOAT. A type that is not known here keeps its name, with the prefix DT_."""
    return _TENSORFLOW_NAMES.get(datatype, f"DT_{datatype}")


def datatype_of(tensorflow_name: str) -> str:
    """Convert DT_FLOAT to FP32. Raises TensorError."""
    try:
        return _DATATYPES_OF_TENSORFLOW[tensorflow_name]
    except KeyError:
        raise TensorError(f"{tensorflow_name:.100} has no name in the Open Inference Protocol") from None


def check_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape as a tuple. Raises TensorError unless it is a list of sizes."""
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise TensorError(f"a shape is a list of at most {_MAX_DIMENSIONS} sizes, not {shape!r:.100}")
    items = 1
    for size in shape:
        if type(size) is not int or not 0 <= size <= _MAX_SIZE:
            raise TensorError(f"the shape {shape!r:.100} has a size that is not a whole number from 0 to {_MAX_SIZE}")
        items *= size or 1
    if items > _MAX_SIZE:
        raise TensorError(f"the shape {shape!r:.100} holds more than {_MAX_SIZE} items")
    return tuple(shape)


def dtype_of(datatype: Any) -> "np.dtype[Any]":
    """Raises TensorError."""
    try:
        return DATATYPES[datatype]
    except (KeyError, TypeError):
        raise TensorError(f"the datatype {datatype!r:.100} is not one of {', '.join(DATATYPES)}") from None


def to_binary(array: "np.ndarray[Any, Any]", datatype: str) -> bytes | memoryview:
    """Return an array's memory in row-major order, uncopied if it has that order. BYTES items follow their length."""
    if datatype == "BYTES":
        items = [_encoded(item) for item in array.flat]
        return b"".join(chain.from_iterable((struct.pack("<I", len(item)), item) for item in items))
    ordered = np.ascontiguousarray(array, DATATYPES[datatype])
    return ordered.reshape(-1).view(np.uint8).data if ordered.size else b""


def from_binary(data: memoryview, datatype: str, shape: Sequence[int]) -> "np.ndarray[Any, Any]":
    """Return an array over the memory of the data. BYTES and BOOL items are copied. Raises TensorError."""
    dtype, count = dtype_of(datatype), math.prod(shape)
    if datatype == "BYTES":
        return _strings(_split(data, count)).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise TensorError(f"{len(data)} bytes; {count * dtype.itemsize} are needed: {list(shape)} of {datatype}")
    if datatype == "BOOL":
        return np.frombuffer(data, np.uint8).astype(np.bool_).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def _split(data: memoryview, count: int) -> list[bytes]:
    if 4 * count > len(data):
        raise TensorError(f"{len(data)} bytes are too few for {count} items of BYTES")
    items: list[bytes] = []
    position = 0
    for _ in range(count):
        end = position + 4
        length = int.from_bytes(data[position:end], "little") if end <= len(data) else len(data)
        position = end + length
        if position > len(data):
            raise TensorError(f"the data end within item {len(items)} of {count} of BYTES")
        items.append(bytes(data[end:position]))
    if position != len(data):
        raise TensorError(f"{len(data) - position} bytes follow the last of {count} items of BYTES")
    return items


def from_json(data: Any, datatype: str, shape: Sequence[int]) -> "np.ndarray[Any, Any]":
    """Return the array of a tensor's `data`, flat or nested. Raises TensorError."""
    dtype, items = dtype_of(datatype), _flat(data)
    if len(items) != math.prod(shape):
        raise TensorError(f"{len(items)} items; {math.prod(shape)} are needed: {list(shape)}")
    if datatype == "BYTES":
        if not set(map(type, items)) <= {str}:
            raise TensorError("BYTES in JSON are strings")
        return _strings([item.encode() for item in items]).reshape(shape)
    return _numbers(items, datatype, dtype).reshape(shape)


def _flat(data: Any) -> list[Any]:
    """Flatten lists, and check each level as a whole, so that the work per number is done in C."""
    if not isinstance(data, list):
        raise TensorError(f"'data' is a list, not {data!r:.100}")
    items = data
    for _ in range(_MAX_DIMENSIONS):
        if not (items and isinstance(items[0], list)):
            return items
        if set(map(type, items)) != {list}:
            raise TensorError("lists and values are mixed in 'data'")
        items = list(chain.from_iterable(items))
    raise TensorError(f"'data' has lists in more than {_MAX_DIMENSIONS} levels")


def _numbers(items: list[Any], datatype: str, dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    allowed = {bool} if datatype == "BOOL" else {int, float} if dtype.kind == "f" else {int}
    if not set(map(type, items)) <= allowed:
        wrong = next(item for item in items if type(item) not in allowed)
        raise TensorError(f"{wrong!r:.100} is not of the datatype {datatype}")
    try:
        if dtype.kind != "f":
            return np.array(items, dtype)
        exact = np.array(items, np.float64)
    except OverflowError as error:
        raise TensorError(f"a number is too large for {datatype}") from error
    if (np.abs(exact[np.isfinite(exact)]) > np.finfo(dtype).max).any():
        raise TensorError(f"a number is too large for {datatype}")
    return exact.astype(dtype)


def to_json(array: "np.ndarray[Any, Any]", datatype: str) -> Any:
    """Return a tensor's `data`, flat, in a form for orjson. Raises TensorError for bytes that are not text."""
    if datatype != "BYTES":
        return np.ascontiguousarray(array, DATATYPES[datatype]).reshape(-1)
    try:
        return [_encoded(item).decode() for item in array.flat]
    except UnicodeDecodeError as error:
        raise TensorError("bytes that are not UTF-8 text cannot be sent as JSON: use binary data") from error


def _encoded(item: str | bytes) -> bytes:
    return item.encode() if isinstance(item, str) else item


def _strings(items: Sequence[bytes]) -> "np.ndarray[Any, Any]":
    array = np.empty(len(items), object)
    array[:] = items
    return array
