"""Reads the signatures in a saved_model.pb without TensorFlow.

The messages are those of tensorflow/core/protobuf/saved_model.proto and meta_graph.proto. Their encoding:
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from pathlib import Path

from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.inspected import Inspected, Signature, Tensor

_DTYPES = {
    **{1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 4: "DT_UINT8", 5: "DT_INT16", 6: "DT_INT8", 7: "DT_STRING"},
    **{9: "DT_INT64", 10: "DT_BOOL", 14: "DT_BFLOAT16", 17: "DT_UINT16", 19: "DT_HALF", 22: "DT_UINT32"},
    23: "DT_UINT64",
}
_PREDICT = b"tensorflow/serving/predict"

_Fields = dict[int, list[bytes | int]]


def inspect_saved_model(folder: Path) -> Inspected:
    """Read the predict signatures of a SavedModel. Raises AddError."""
    path = folder / "saved_model.pb"
    try:
        meta_graphs = _messages(_fields(path.read_bytes()), 2)
        signatures = {name: found for graph in meta_graphs for name, found in _signatures(graph)}
        versions = [_text(info, 5) for graph in meta_graphs for info in map(_fields, _messages_raw(graph, 1))]
    except OSError as error:
        raise AddError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise AddError(f"{path} is not a SavedModel, or is cut short.") from error
    if not signatures:
        raise AddError(f"{folder} holds a SavedModel without a signature that predicts: export it with `model.export`.")
    size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    return Inspected("SavedModel", signatures, f"TensorFlow {versions[0] or '?'}" if versions else "TensorFlow", size)


def _signatures(graph: _Fields) -> Iterator[tuple[str, Signature]]:
    for entry in _messages(graph, 5):
        definition = _fields(_bytes(entry, 2))
        if _bytes(definition, 3) == _PREDICT:
            yield _text(entry, 1), Signature(_tensors(definition, 1), _tensors(definition, 2))


def _tensors(definition: _Fields, number: int) -> dict[str, Tensor]:
    found = {}
    for entry in _messages(definition, number):
        info = _fields(_bytes(entry, 2))
        dtype = info.get(2, [0])[0]
        shape = _fields(_bytes(info, 3))
        sizes = [_signed(dim.get(1, [0])[0]) for dim in _messages(shape, 2)]
        found[_text(entry, 1)] = Tensor(_DTYPES.get(int(dtype), f"DT_{dtype!r}"), tuple(sizes))
    return found


def _signed(value: bytes | int) -> int:
    number = int(value)
    return number - 2**64 if number >= 2**63 else number


def _messages_raw(fields: _Fields, number: int) -> list[bytes]:
    return [value for value in fields.get(number, []) if isinstance(value, bytes)]


def _messages(fields: _Fields, number: int) -> list[_Fields]:
    return [_fields(value) for value in _messages_raw(fields, number)]


def _bytes(fields: _Fields, number: int) -> bytes:
    values = _messages_raw(fields, number)
    return values[-1] if values else b""


def _text(fields: _Fields, number: int) -> str:
    return _bytes(fields, number).decode()


def _fields(data: bytes) -> _Fields:
    """Return values by field number: bytes if length-delimited, numbers if varint. Raises ValueError or IndexError."""
    found: _Fields = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        match key & 7:
            case 0:
                value, position = _varint(data, position)
                found.setdefault(key >> 3, []).append(value)
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise ValueError("cut short")
                found.setdefault(key >> 3, []).append(data[position : position + length])
                position += length
            case 1:
                position += 8
            case 5:
                position += 4
            case other:
                raise ValueError(f"wire type {other}")
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
