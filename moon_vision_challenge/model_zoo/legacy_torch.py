"""Reads the state dictionary of a legacy (pre-1.6, not zipped) PyTorch .pth file with NumPy alone.

The layout is that of `torch.serialization._legacy_save`: five pickles (magic number, protocol, system information, the
object, the ordered storage keys), then for each key its element count (int64) and its elements, little-endian.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from moon_vision_challenge.model_zoo.errors import WeightsFileError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class _Storage(NamedTuple):
    dtype: np.dtype[Any]
    key: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _StateDictUnpickler(pickle.Unpickler):
    """An unpickler that names only what a state dictionary needs, because unpickling may call anything it can name."""

    allowed: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise WeightsFileError(
                f"the weights name {module}.{name}, which a state dictionary does not need"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", np.dtype() as dtype, str(key), _, int(size), None):
                return _Storage(dtype, key, size)
        raise WeightsFileError(f"unknown persistent object {pid!r:.80}")


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    size = int.from_bytes(file.read(8), "little")
    content = file.read(storage.dtype.itemsize * storage.size)
    if size != storage.size or len(content) != storage.dtype.itemsize * storage.size:
        raise WeightsFileError("the file is truncated, or its storages do not match its state dictionary")
    return np.frombuffer(content, storage.dtype)


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return {parameter name: array}, float32 or int64, in the shapes of PyTorch (convolutions are OIHW).

    Raises WeightsFileError for any other kind of file, and OSError if it cannot be read.
    """
    with path.open("rb") as file:
        try:
            header = [_StateDictUnpickler(file).load() for _ in range(5)]
        except (pickle.UnpicklingError, EOFError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise WeightsFileError(f"{path.name} is not a legacy PyTorch file: {error}") from error
        magic, protocol, _, tensors, keys = header
        if (magic, protocol) != (MAGIC_NUMBER, PROTOCOL):
            raise WeightsFileError(f"{path.name} is not a legacy PyTorch file: wrong magic number or protocol")
        if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
            raise WeightsFileError(f"{path.name} holds something other than a state dictionary")
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        if set(keys) != set(storages):
            raise WeightsFileError(f"{path.name} lists storages that its state dictionary does not use")
        contents = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _view(contents[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _view(content: np.ndarray, tensor: _Tensor) -> np.ndarray:
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if (
        min(tensor.shape, default=1) < 1
        or min(tensor.strides, default=0) < 0
        or not 0 <= tensor.offset <= last < len(content)
    ):
        raise WeightsFileError("a tensor reaches beyond its storage")
    strides = [stride * content.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(content[tensor.offset :], tensor.shape, strides, writeable=False)
