"""What cannot be added is reported in a sentence, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from moon_vision_challenge.model_io.tests.networks import save_network
from moon_vision_challenge.model_zoo import install
from moon_vision_challenge.model_zoo.tests.adding import CONFIG, NCHW, run, tree
from moon_vision_challenge.model_zoo.tests.unsuitable import (
    integer_scores,
    integers,
    returning,
    selecting_boxes,
    vector,
    without_batch,
)


def broken(place: Path) -> None:
    (place / "broken.onnx").write_bytes(b"not a model")


def cut(place: Path) -> None:
    save_network(place / "whole.onnx", NCHW)
    (place / "cut.onnx").write_bytes((place / "whole.onnx").read_bytes()[:3000])


def empty(place: Path) -> None:
    (place / "empty.onnx").touch()


def without_weights(place: Path) -> None:
    save_network(place / "whole.onnx", NCHW)
    onnx.save_model(
        onnx.load(place / "whole.onnx"), place / "bare.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    (place / "w").unlink()


def new_opset(place: Path) -> None:
    save_network(place / "new.onnx", NCHW)
    model = onnx.load(place / "new.onnx")
    model.opset_import[0].version = 99
    onnx.save(model, place / "new.onnx")


def two_inputs(place: Path) -> None:
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", info[:2], info[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), place / "two.onnx")


def new_ir(place: Path) -> None:
    save_network(place / "new_ir.onnx", NCHW)
    model = onnx.load(place / "new_ir.onnx")
    model.ir_version = 99
    onnx.save(model, place / "new_ir.onnx")


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 98765\n"


def not_pulled(place: Path) -> None:
    (place / "pointer.onnx").write_text(LFS_POINTER)


def weights_not_pulled(place: Path) -> None:
    without_weights(place)
    (place / "w").write_text(LFS_POINTER)


def sound(place: Path) -> None:
    save_network(place / "net.onnx", NCHW)


def detector(place: Path) -> None:
    save_network(place / "net.onnx", NCHW, properties={"author": "Ultralytics", "task": "detect"})


def several(place: Path) -> None:
    for name in ("one", "two"):
        save_network(place / f"both/{name}.onnx", NCHW)


def saved_model(place: Path) -> None:
    (place / "saved").mkdir()
    (place / "saved/saved_model.pb").write_bytes(b"\x12\x03\x0a\x01\xff\xff")


def weights_only(place: Path) -> None:
    (place / "pytorch").mkdir()
    (place / "pytorch/best.pt").touch()


def tarball(place: Path) -> None:
    (place / "net.tar.gz").write_bytes(b"\x1f\x8b not one")


KNOWN = ["--labels", "names.txt", "--preset", "torchvision"]
SOUND = ["net.onnx", "--labels", "names.txt", "--preset", "torchvision"]
REFUSED: list[tuple[Callable[[Path], None], list[str], str]] = [
    (broken, ["broken.onnx"], "broken.onnx is not an ONNX model, or is cut short"),
    (cut, ["cut.onnx"], "cut.onnx is not an ONNX model, or is cut short"),
    (empty, ["empty.onnx"], "it holds no graph"),
    (without_weights, ["bare.onnx"], "needs the file w next to it"),
    (not_pulled, ["pointer.onnx"], "pointer.onnx is only a pointer of Git LFS. Get the file with `git lfs pull`"),
    (weights_not_pulled, ["bare.onnx"], "w is only a pointer of Git LFS"),
    (new_opset, ["new.onnx"], "is till opset 28. Export the model with a lower opset"),
    (new_ir, ["new_ir.onnx"], "by onnxruntime: Unsupported model IR version: 99, max supported IR version: 14. Export"),
    (two_inputs, ["two.onnx"], "does not take one image, but a, b"),
    (returning("yolo", output0=[1, 84, 8400]), ["yolo.onnx", *KNOWN], "'output0' has the shape [1, 84, 8400]"),
    (returning("mask", mask=[1, 7, 64, 64]), ["mask.onnx", *KNOWN], "a classifier returns one score per class"),
    (
        returning("ssd", detection_boxes=[1, 100, 4], detection_scores=[1, 100], num_detections=[1]),
        ["ssd.onnx", *KNOWN],
        "This is a detector, not a classifier: it returns detection_boxes",
    ),
    (selecting_boxes, ["nms.onnx", *KNOWN], "This is a detector, not a classifier: it selects boxes"),
    (
        without_batch,
        ["single.onnx", *KNOWN],
        "The input [3, 64, 64] and the output [7] do not have the same batch size",
    ),
    (integers, ["int8.onnx", "--labels", "names.txt"], "The model takes int8, but pixels become 0 to 255"),
    (integers, ["int8.onnx", *KNOWN], "The model takes int8, but pixels become only -2 to 3"),
    (
        integer_scores,
        ["quantized.onnx", "--labels", "names.txt", "--activation", "softmax"],
        "softmax cannot be applied to whole numbers (int8)",
    ),
    (vector, ["vector.onnx", *KNOWN[:2]], "The input is a vector of 784 numbers. Write input_size = 28"),
    (detector, ["net.onnx"], "for the task 'detect', not for `classify`"),
    (several, ["both"], "holds several models: name one of one.onnx, two.onnx"),
    (saved_model, ["saved"], "is not a SavedModel, or is cut short"),
    (weights_only, ["pytorch/best.pt"], "neither ONNX nor a SavedModel. In Ultralytics: `yolo export"),
    (weights_only, ["pytorch"], "holds neither an ONNX file nor a SavedModel. In Ultralytics"),
    (tarball, ["net.tar.gz"], "cannot be unpacked"),
    (sound, ["nothing.onnx"], "nothing.onnx does not exist"),
    (sound, ["net.onnx"], "no file says how"),
    (sound, ["net.onnx", "--preset", "torchvision"], "there are 0 labels. Use the option --labels"),
    (sound, ["net.onnx", "--preset", "timm"], "reads files of the export"),
    (sound, [*SOUND, "--labels", "none.txt"], "none.txt cannot be read"),
    (sound, [*SOUND, "--labels", "photo.png"], "not UTF-8 text"),
    (sound, [*SOUND, "--input_size", "224"], "input_size is 224 x 224, but the model takes 64 x 64"),
    (sound, [*SOUND, "--output", "x"], "no output 'x'"),
    (sound, [*SOUND, "--name", "a b"], "The name 'a b' cannot be used"),
    (sound, [*SOUND, "--photo", "names.txt"], "names.txt cannot be read as a picture"),
    (sound, [*SOUND, "--write", "names.txt"], "The file to write to is not Python: line 1"),
    (sound, [*SOUND, "--write", "models.config/app.py"], "cannot be written: Not a directory"),
    (sound, [*SOUND, "--models_dir", "names.txt"], "cannot be written"),
]


@pytest.mark.parametrize(
    ("prepare", "words", "sentence"), REFUSED, ids=lambda value: getattr(value, "__name__", str(value)[:60])
)
def test_what_cannot_be_added_is_reported_in_a_sentence_and_leaves_nothing(
    place: Path, prepare: Callable[[Path], None], words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(place)
    before = tree(place)
    assert run(*words) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert "Traceback" not in told
    assert tree(place) == before


@pytest.mark.parametrize("text", ["model_config_list {", "model_config_list { config { name: 'a' } } }", "§"])
def test_a_models_config_that_cannot_be_read_is_left_alone(
    place: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sound(place)
    Path("models.config").write_text(text)
    before = tree(place)
    assert run(*SOUND) == 1
    assert "models.config cannot be read: line 1" in capsys.readouterr().err
    assert tree(place) == before


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failure_half_way_is_undone(place: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    sound(place)
    Path("app.py").write_text('"""Mine."""\n')
    before = tree(place)
    replace, calls = install._replace, []

    def fails(path: Path, text: str) -> None:
        calls.append(path)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device", str(path))
        replace(path, text)

    monkeypatch.setattr(install, "_replace", fails)
    assert run(*SOUND, "--write", "app.py") == 1
    assert tree(place) == before


def test_a_models_config_keeps_its_mode_and_its_link(place: Path) -> None:
    sound(place)
    Path("real.config").write_text(CONFIG)
    Path("real.config").chmod(0o640)
    Path("models.config").unlink()
    Path("models.config").symlink_to("real.config")
    assert run(*SOUND) == 0
    assert Path("models.config").is_symlink()
    assert Path("real.config").stat().st_mode & 0o777 == 0o640
    assert "'net'" in Path("real.config").read_text()
