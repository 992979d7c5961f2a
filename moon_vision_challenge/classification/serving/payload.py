"""The body of a request to a model, as JSON."""

from typing import Any

import numpy as np
import orjson
import pybase64


def dump(payload: dict[str, Any]) -> bytes:
    """JSON of a payload that may hold any NumPy arrays and scalars. Bytes become {"b64": ...}. Raises TypeError."""
    return orjson.dumps(payload, default=_to_json)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": pybase64.b64encode_as_string(value)}
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} cannot be sent to a model")
    if value.dtype.kind not in "biuf":
        return value.tolist()
    # orjson reads every byte order as the machine's own, and accepts only contiguous arrays.
    native = np.asarray(value, np.dtype(f"{value.dtype.kind}{min(value.dtype.itemsize, 8)}"), order="C")
    return orjson.Fragment(orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)) if native.ndim else native.item()
