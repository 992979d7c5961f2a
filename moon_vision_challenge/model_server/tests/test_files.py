"""Whatever happens to the files of a loaded version, the server answers as before and says that they changed."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from moon_vision_challenge.model_server.files import changed_files, model_files, private_copy, take_snapshot
from moon_vision_challenge.model_server.tests.conftest import Server, tensor
from moon_vision_challenge.model_server.tests.test_reload import (
    configure,
    factor,
    has_logged,
    put,
    serving,
    states,
    wait_until,
)
from moon_vision_challenge.model_server.versions import ModelVersion, VersionState

ROWS, COLUMNS = 20_000, 100  # 8 MB of weights that onnxruntime leaves where they are


def save_table(path: Path, value: float, data: str = "model.onnx.data") -> None:
    """Save y = the rows at the indices x of a table of this value. The table is external data, which is mapped."""
    table = numpy_helper.from_array(np.full((ROWS, COLUMNS), value, np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    inputs, outputs = [tensor("x", TensorProto.INT64, "N")], [tensor("y", TensorProto.FLOAT, "N", COLUMNS)]
    graph = helper.make_graph([node], "table", inputs, outputs, [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=data)


def values(server: Server, model: str = "table") -> set[float]:
    rows = server.predict(model, {"instances": [0, ROWS // 2, ROWS - 1]}).json()["predictions"]
    return {value for row in rows for value in row}


def message(server: Server, model: str) -> str:
    [status] = server.get(f"/v1/models/{model}").json()["model_version_status"]
    assert (status["state"], status["status"]["error_code"]) == ("AVAILABLE", "OK")
    return str(status["status"]["error_message"])


def overwrite(path: Path, other: Path) -> None:
    with path.open("r+b") as file:
        file.write(other.read_bytes())


def begin_a_slow_copy(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes()[:1000])


def truncate(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def replace(path: Path, other: Path) -> None:
    other.replace(path)


def delete(path: Path, _: Path) -> None:
    path.unlink()


CHANGES = [overwrite, begin_a_slow_copy, truncate, replace, delete]
FILES = ["model.onnx", "model.onnx.data"]


def model_of(name: str, change: Callable[[Path, Path], None]) -> str:
    return f"{change.__name__}_{name.replace('.', '_')}"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a model for each way to change one."""
    folder = tmp_path_factory.mktemp("tables")
    models = [model_of(name, change) for name in FILES for change in CHANGES]
    for model in models:
        save_table(folder / "models" / model / "1" / "model.onnx", 1)
    configure(folder, *models)
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FILES)
def test_a_loaded_version_does_not_change_with_its_files(
    tables: Server, tmp_path: Path, name: str, change: Callable[[Path, Path], None]
) -> None:
    model = model_of(name, change)
    save_table(tmp_path / "model.onnx", 2)
    assert values(tables, model) == {1.0}
    assert message(tables, model) == ""
    change(tables.log.parent / "models" / model / "1" / name, tmp_path / name)
    wait_until(lambda: message(tables, model) != "", tables)
    assert values(tables, model) == {1.0}
    text = f"{name} changed after version 1 was loaded. The server still uses the loaded version."
    assert message(tables, model).startswith(text)
    assert sum(f"Model {model} (" in line and text in line for line in tables.log.read_text().splitlines()) == 1


def test_weights_in_another_folder_are_copied_too_and_the_copies_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "models" / "table" / "1"
    (version / "weights").mkdir(parents=True)
    save_table(version / "model.onnx", 3, data="weights/table.bin")
    configure(tmp_path, "table")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with serving(tmp_path) as server:
        os.truncate(version / "weights" / "table.bin", 0)
        assert values(server) == {3.0}
        assert list((tmp_path / "temporary").iterdir()) == []


def test_a_message_about_changed_files_goes_when_they_are_as_they_were(tmp_path: Path) -> None:
    put(tmp_path, 1, factor=1)
    configure(tmp_path, "half")
    file = tmp_path / "models" / "half" / "1" / "model.onnx"
    with serving(tmp_path) as server:
        file.rename(tmp_path / "elsewhere")
        wait_until(lambda: message(server, "half") != "", server)
        (tmp_path / "elsewhere").rename(file)
        wait_until(lambda: message(server, "half") == "", server)
        assert factor(server) == 1


def test_other_files_beside_a_model_are_not_reported(tmp_path: Path) -> None:
    put(tmp_path, 1, factor=1)
    configure(tmp_path, "half")
    with serving(tmp_path) as server:
        (tmp_path / "models" / "half" / "1" / "README").touch()
        (tmp_path / "models" / "half" / "1" / "saved_model.pb").touch()
        put(tmp_path, 1, factor=7, model="other")
        configure(tmp_path, "half", "other")  # so that some checks have passed
        wait_until(lambda: has_logged(server, "Model other version 1 is available"), server)
        assert message(server, "half") == ""


def test_a_version_that_arrives_slowly_is_served_when_it_is_complete(tmp_path: Path) -> None:
    save_table(tmp_path / "source" / "model.onnx", 5)
    put(tmp_path, 1, factor=1)
    configure(tmp_path, "half", "table")
    with serving(tmp_path) as server:
        version = tmp_path / "models" / "table" / "1"
        version.mkdir(parents=True)
        shutil.copy(tmp_path / "source" / "model.onnx", version)
        wait_until(lambda: has_logged(server, "Model table version 1 is NOT available"), server)
        content = (tmp_path / "source" / "model.onnx.data").read_bytes()
        with (version / "model.onnx.data").open("wb") as file:
            for start in range(0, len(content), len(content) // 10):
                file.write(content[start : start + len(content) // 10])
                file.flush()
                assert factor(server) == 1
        wait_until(lambda: states(server, "table") == {"1": "AVAILABLE"}, server)
        assert values(server) == {5.0}
        assert message(server, "table") == ""


def test_files_that_change_while_they_are_read_are_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")
    monkeypatch.setattr(
        "moon_vision_challenge.model_server.versions.load_runtime", lambda _: file.write_bytes(b"longer")
    )
    version = ModelVersion("half", 1, tmp_path)
    version.load()
    assert (version.state, version.runtime) == (VersionState.END, None)
    assert "changed while they were being read" in version.error
    assert version.has_other_files()  # so it will be loaded again


def test_a_model_that_fails_in_an_unknown_way_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> Any:
        raise MemoryError

    monkeypatch.setattr("moon_vision_challenge.model_server.versions.load_runtime", fail)
    version = ModelVersion("half", 1, tmp_path)
    version.load()
    assert (version.state, version.error) == (VersionState.END, "it cannot be loaded: MemoryError()")


def test_without_room_for_the_copy_the_model_is_not_available_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    save_table(tmp_path / "model.onnx", 1)
    monkeypatch.setattr(shutil, "copyfile", fail)
    version = ModelVersion("table", 1, tmp_path)
    version.load()
    assert "cannot copy its files to the temporary folder: [Errno 28] No space left on device" in version.error


def test_the_files_of_a_model_are_those_of_the_form_that_is_served(tmp_path: Path) -> None:
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/warmup.json", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert len(model_files(tmp_path)) == 4
    (tmp_path / "model.onnx").touch()
    assert {path.name for path in model_files(tmp_path)} == {"model.onnx", "notes"}
    with private_copy(tmp_path) as copy:
        assert (copy / "notes").read_text() == "notes"
    assert not copy.exists()


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_has_changed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"old")
    before = take_snapshot(tmp_path)
    status = (tmp_path / "model.onnx").stat()
    (tmp_path / "new").write_bytes(b"new")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "model.onnx")
    assert changed_files(before, take_snapshot(tmp_path)) == ["model.onnx"]


def test_a_config_that_is_written_slowly_changes_nothing_until_it_is_complete(tmp_path: Path) -> None:
    put(tmp_path, 1, factor=1)
    put(tmp_path, 1, factor=7, model="other")
    configure(tmp_path, "half")
    text = (tmp_path / "models.config").read_text()
    new = text.replace("}\n}", "}\nconfig { name: 'other' base_path: '/models/other/' }\n}")
    done = threading.Event()
    answers: set[Any] = set()

    def ask(server: Server) -> None:
        while not done.is_set():
            answers.add(factor(server))

    with serving(tmp_path) as server:
        client = threading.Thread(target=ask, args=(server,))
        client.start()
        try:
            with (tmp_path / "models.config").open("w") as file:
                for number, line in enumerate(new.splitlines(keepends=True), 1):
                    file.write(line)
                    file.flush()
                    if number == 1:
                        wait_until(lambda: has_logged(server, "The models stay as they are"), server)
                    assert states(server) == {"1": "AVAILABLE"}
            wait_until(lambda: has_logged(server, "Model other version 1 is available"), server)
        finally:
            done.set()
            client.join()
        assert factor(server, "other") == 7
    assert answers == {1.0}
