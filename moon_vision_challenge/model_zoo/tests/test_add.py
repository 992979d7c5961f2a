"""A classifier that was exported elsewhere is added in one command, or nothing is added and one sentence says why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from moon_vision_challenge.model_io.tests.networks import UINT8, save_network
from moon_vision_challenge.model_zoo import add, add_arguments
from moon_vision_challenge.model_zoo.tests.adding import ADDED, CONFIG, LABELS, NCHW, listed, run, tree


def test_it_is_copied_listed_declared_and_tried(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "my flowers.onnx", NCHW, head="logits")
    photo = ["--photo", "photo.png"]
    assert run("my flowers.onnx", "--labels", "names.txt", "--preset", "torchvision", "--write", "app", *photo) == 0
    output = capsys.readouterr().out
    assert "my flowers.onnx: ONNX, opset ai.onnx 17" in output
    assert "input      images: float [?, 3, 64, 64]" in output
    assert "output     output0: float [?, 10]" in output
    assert output.count("  class ") == 5
    assert "-F model_type=my_flowers " in output
    assert sorted(one.name for one in Path("models/my_flowers/1").iterdir()) == ["model.onnx"]
    assert listed() == ["a", "my_flowers"]
    assert Path("models.config").read_text().replace(ADDED, "") == CONFIG
    written = Path("app").read_text()
    assert "class MyFlowersClassificator(ServedModelClassificator):" in written
    assert 'model_type = "my_flowers"' in written
    assert 'activation = "softmax"' in written
    assert Path("my_flowers_labels.txt").read_text().splitlines() == LABELS


def test_the_frame_of_a_letterbox_and_opencvs_filter_are_options(place: Path) -> None:
    save_network(place / "net.onnx", NCHW)
    letterbox = ["--resize", "letterbox", "--interpolation", "bilinear", "--no_antialias"]
    for color, written in (("114", "114"), ("255, 0,7", "(255, 0, 7)")):
        options = [*letterbox, "--pad_color", color, "--scale", "255", "--write", f"{color}.py"]
        assert run("net.onnx", "--name", f"net{color[:3]}", "--labels", "names.txt", *options) == 0
        assert f"    pad_color = {written}\n" in Path(f"{color}.py").read_text()
        assert "    antialias = False\n" in Path(f"{color}.py").read_text()
    for color in ("256", "white", "1,2", "1,2,3,4", "-1"):
        with pytest.raises(SystemExit):
            run("net.onnx", "--labels", "names.txt", *letterbox, f"--pad_color={color}", "--scale", "255")


def test_the_next_version_is_one_more_than_the_newest(place: Path) -> None:
    save_network(place / "flowers.onnx", NCHW)
    for version in ("1", "007", "notes"):
        (place / "models" / "flowers" / version).mkdir(parents=True)
    for expected in ("8", "9"):
        assert run("flowers.onnx", "--labels", "names.txt", "--scale", "255") == 0
        assert (place / "models" / "flowers" / expected / "model.onnx").is_file()
    assert listed() == ["a", "flowers"]


def test_the_copy_is_the_model_and_takes_pixels_as_bytes_too(place: Path) -> None:
    save_network(place / "flowers.onnx", NCHW)
    assert run("flowers.onnx", "--labels", "names.txt", "--scale", "255") == 0
    pixels = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    results = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": pixels})[0]
        for path in ("flowers.onnx", "models/flowers/1/model.onnx")
    ]
    np.testing.assert_array_equal(*results)
    properties = {one.key: one.value for one in onnx.load("models/flowers/1/model.onnx").metadata_props}
    assert json.loads(properties["serving_signatures"])["raw"]["inputs"] == {
        "images": {"tensor": "images", "encoding": "raw"}
    }


def test_weights_beside_the_model_come_along(place: Path) -> None:
    save_network(place / "plain.onnx", NCHW)
    folder = place / "export"
    (folder / "weights").mkdir(parents=True)
    model = onnx.load("plain.onnx")
    onnx.save_model(
        model, folder / "net.onnx", save_as_external_data=True, location="weights/all.bin", size_threshold=0
    )
    assert run("export/net.onnx", "--labels", "names.txt", "--scale", "255") == 0
    assert (place / "models/net/1/weights/all.bin").is_file()
    onnxruntime.InferenceSession("models/net/1/model.onnx", providers=["CPUExecutionProvider"])


def test_integers_need_no_range(place: Path) -> None:
    save_network(place / "net.onnx", ("N", 64, 64, 3), layout="NHWC", dtype=UINT8)
    assert run("net.onnx", "--labels", "names.txt") == 0


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Simulate a person at a terminal. Returns the questions that were asked."""
    asked: list[str] = []
    left = list(answers)

    def answer(question: str) -> str:
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    monkeypatch.setattr(add, "is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    return asked


def test_what_no_file_says_is_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_network(place / "net.onnx", ("batch", "channels", "height", "width"), head="logits")
    asked = answering(monkeypatch, "", "NCHW", "64", "torchvision", "names.txt", "photo.png", "y")
    assert run("net.onnx") == 0
    assert [one.partition(":")[0] for one in asked] == [
        "model_type [net]", "layout", "input_size", "preset", "labels", "A photo to try (empty", "Add it? [Y/n] ",
    ]  # fmt: skip
    assert listed() == ["a", "net"]


@pytest.mark.parametrize("answers", [(), ("",), ("", "torchvision", "names.txt", "", "n")])
def test_who_answers_no_or_leaves_adds_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]
) -> None:
    save_network(place / "net.onnx", NCHW)
    before = tree(place)
    answering(monkeypatch, *answers)
    assert run("net.onnx", "--write", "app.py") != 0
    assert tree(place) == before


@pytest.mark.parametrize(("text", "size"), [("224", 224), ("160x224", (160, 224)), ("(160, 224)", (160, 224))])
def test_sizes_are_read(text: str, size: Any) -> None:
    assert add_arguments.read_size(text) == size
