"""Writes the body of a request to a model as JSON, and turns the arrays of a reply into lists."""

from typing import Any

import numpy as np
import orjson
import pybase64


def dump(payload: dict[str, Any]) -> bytes:
    """Encode a payload, which may hold NumPy arrays, as JSON. Bytes become {"b64": ...}. Raises TypeError."""
    return orjson.dumps(payload, default=_to_json)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return orjson.Fragment(b'{"b64":"' + pybase64.b64encode(value) + b'"}')  # base64 needs no escapes
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} cannot be sent to a model")
    if value.dtype.kind not in "biuf":
        return value.tolist()
    # orjson interprets any byte order as the machine's, and accepts only contiguous arrays.
    native = np.asarray(value, np.dtype(f"{value.dtype.kind}{min(value.dtype.itemsize, 8)}"), order="C")
    return orjson.Fragment(orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)) if native.ndim else native.item()


def as_lists(value: Any) -> Any:
    """Return a reply's body with lists instead of arrays. A float has only as many digits as identify it."""
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype == object:
            return value.tolist()
        return orjson.loads(orjson.dumps(np.asarray(value)[()], option=orjson.OPT_SERIALIZE_NUMPY))
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray | dict):
        return [as_lists(item) for item in value]
    return value
