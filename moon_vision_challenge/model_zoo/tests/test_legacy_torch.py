import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.model_zoo.errors import WeightsFileError
from moon_vision_challenge.model_zoo.legacy_torch import MAGIC_NUMBER, PROTOCOL, read_state_dict


class FloatStorage:
    """Stands in for torch.FloatStorage in the pickles written here."""


def _rebuild_tensor_v2(*arguments: Any) -> None: ...


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create the two names that pickle must find when it writes them. The reader under test imports nothing."""
    for module, thing in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        setattr(sys.modules[module], thing.__name__, thing)
        monkeypatch.setattr(thing, "__module__", module)


class Tensor:
    def __init__(self, key: str, size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage = ("storage", FloatStorage, key, "cpu", size, None)
        self.arguments: tuple[Any, ...] = (offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> Any:
        return _rebuild_tensor_v2, (Storage(self.storage), *self.arguments)


class Storage:
    def __init__(self, pid: Any) -> None:
        self.pid = pid


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None


def write(
    path: Path,
    content: Any,
    values: list[float],
    *,
    magic: int = MAGIC_NUMBER,
    keys: list[str] | None = None,
    size: int | None = None,
) -> Path:
    with path.open("wb") as file:
        items: list[Any] = [magic, PROTOCOL, {}, content, ["7"] if keys is None else keys]
        for item in items:
            Pickler(file, protocol=2).dump(item)
        file.write(struct.pack(f"<q{len(values)}f", len(values) if size is None else size, *values))
    return path


def test_tensors_are_views_of_their_storages(tmp_path: Path) -> None:
    tensors = OrderedDict(
        a=Tensor("7", 6, 0, (2, 3), (3, 1)),
        transposed=Tensor("7", 6, 0, (3, 2), (1, 3)),
        last=Tensor("7", 6, 5, (), ()),
    )
    read = read_state_dict(write(tmp_path / "w.pth", tensors, [0, 1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(read["a"], np.array([[0, 1, 2], [3, 4, 5]], np.float32))
    np.testing.assert_array_equal(read["transposed"], read["a"].T)
    assert read["last"] == 5


def test_a_pickle_that_names_anything_else_is_refused_and_not_called(tmp_path: Path) -> None:
    marker = tmp_path / "called"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    with pytest.raises(WeightsFileError, match="which a state dictionary does not need"):
        read_state_dict(write(tmp_path / "w.pth", OrderedDict(a=Evil()), []))
    assert not marker.exists()


ONE = OrderedDict(a=Tensor("7", 2, 0, (2,), (1,)))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (ONE, {"magic": 1}, "wrong magic number"),
        ([1], {}, "something other than a state dictionary"),
        ({"a": 1}, {}, "something other than a state dictionary"),
        (ONE, {"keys": ["8"]}, "does not use"),
        (ONE, {"size": 3}, "truncated"),
        (OrderedDict(a=Tensor("7", 3, 0, (2,), (1,))), {}, "truncated"),
        (OrderedDict(a=Tensor("7", 2, 1, (2,), (1,))), {}, "reaches beyond its storage"),
        (OrderedDict(a=Tensor("7", 2, -1, (2,), (1,))), {}, "reaches beyond its storage"),
        (OrderedDict(a=Storage(("module", "x"))), {}, "unknown persistent object"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(
    tmp_path: Path, content: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsFileError, match=message):
        read_state_dict(write(tmp_path / "w.pth", content, [1.0, 2.0], **options))


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04zip"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsFileError, match="not a legacy PyTorch file"):
        read_state_dict(tmp_path / "w.pth")
