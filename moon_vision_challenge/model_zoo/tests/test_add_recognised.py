"""Exports that say what they need: from Hugging Face, timm, Ultralytics, and scikit-learn."""

import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from onnx import helper

from moon_vision_challenge.model_io.tests.networks import CLASSES, save_network
from moon_vision_challenge.model_server.onnx_runtime import OnnxModel
from moon_vision_challenge.model_server.runtime import ModelLoadError
from moon_vision_challenge.model_zoo.tests.adding import LABELS, NCHW, run


def test_a_folder_of_hugging_face_needs_no_option(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "vit/onnx/model.onnx", ("batch_size", "num_channels", "height", "width"), head="logits")
    processor = {"size": {"height": 64, "width": 64}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (place / "vit/preprocessor_config.json").write_text(json.dumps(processor))
    (place / "vit/config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    assert run("vit", "--write", "classificators.py", "--photo", "photo.png") == 0
    assert "recognised huggingface-vit" in capsys.readouterr().out
    written = Path("classificators.py").read_text()
    for line in ("input_size = 64", 'resize = "stretch"', 'layout = "NCHW"', "mean = (127.5, 127.5, 127.5)"):
        assert f"    {line}\n" in written
    assert Path("vit_labels.txt").read_text().splitlines() == LABELS


def test_a_folder_of_timm_needs_no_option(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "net/model.onnx", NCHW, head="logits")
    trained = {
        "input_size": [3, 64, 64],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "crop_pct": 0.9,
        "interpolation": "bicubic",
    }
    config = {"architecture": "resnet18", "pretrained_cfg": trained, "label_names": LABELS}
    (place / "net/config.json").write_text(json.dumps(config))
    assert run("net") == 0
    output = capsys.readouterr().out
    assert "recognised timm" in output
    assert "shorter_side = 71" in output


def test_an_export_of_ultralytics_says_all_in_its_properties(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    properties = {"author": "Ultralytics", "task": "classify", "names": str(dict(enumerate(LABELS)))}
    save_network(place / "best.onnx", (1, 3, 64, 64), properties=properties)
    assert run("best.onnx", "--name", "birds", "--write", "app.py") == 0
    assert "recognised ultralytics-cls" in capsys.readouterr().out
    assert Path("birds_labels.txt").read_text().splitlines() == LABELS
    assert "scale = 255.0" in Path("app.py").read_text()


@pytest.mark.parametrize(
    ("pixel_format", "pixel_range", "lines"),
    [
        ("Bgr8", "NominalRange_0_255", ['channels = "BGR"']),
        ("Rgb8", "Normalized_0_1", ['channels = "RGB"', "scale = 255.0"]),
        ("Bgr8", "Normalized_1_1", ['channels = "BGR"', "mean = 127.5", "scale = 127.5"]),
    ],
)
def test_properties_that_describe_the_pixels_are_read(
    place: Path, pixel_format: str, pixel_range: str, lines: list[str]
) -> None:
    properties = {"Image.BitmapPixelFormat": pixel_format, "Image.NominalPixelRange": pixel_range}
    save_network(place / "model.onnx", NCHW, properties=properties)
    assert run("model.onnx", "--name", "net", "--labels", "names.txt", "--write", "app.py") == 0
    written = Path("app.py").read_text()
    assert [line for line in written.split("\n    ") if line.startswith(("channels", "mean", "scale"))] == lines


@pytest.mark.parametrize(
    "properties", [{"Image.BitmapPixelFormat": "Rgba8"}, {"Image.NominalPixelRange": "NominalRange_16_235"}]
)
def test_properties_that_no_declaration_can_say_are_refused(
    place: Path, properties: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_network(place / "model.onnx", NCHW, properties=properties)
    assert run("model.onnx", "--name", "net", "--labels", "names.txt") == 1
    assert "which is not supported" in capsys.readouterr().err


def save_zipmap(path: Path, **labels: Any) -> None:
    """Save a network with the outputs of skl2onnx: a label, and a list of maps."""
    save_network(path, (None, 784), layout="flat", names=("X", "scores"))
    model = onnx.load(path)
    best = helper.make_node("ArgMax", ["scores"], ["output_label"], axis=1, keepdims=0)
    zipmap = helper.make_node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", **labels)
    model.graph.node.extend([best, zipmap])
    del model.graph.output[:]
    key = onnx.TensorProto.STRING if "classlabels_strings" in labels else onnx.TensorProto.INT64
    score = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, score))
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("output_label", onnx.TensorProto.INT64, [None]),
            helper.make_value_info("output_probability", maps),
        ]
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    onnx.save(model, path)


@pytest.mark.parametrize("labels", [{"classlabels_strings": LABELS}, {"classlabels_int64s": list(range(CLASSES))}])
def test_maps_of_scikit_learn_become_scores_and_their_keys_labels(place: Path, labels: dict[str, Any]) -> None:
    save_zipmap(place / "digits.onnx", **labels)
    given = [] if "classlabels_strings" in labels else ["--labels", "names.txt"]
    options = ["--input_size", "28", "--scale", "255", "--photo", "photo.png", "--write", "app.py"]
    assert run("digits.onnx", *given, *options) == 0
    session = onnxruntime.InferenceSession("models/digits/1/model.onnx", providers=["CPUExecutionProvider"])
    assert [(one.name, one.type, one.shape) for one in session.get_outputs()][1] == (
        "output_probability", "tensor(float)", [None, CLASSES],
    )  # fmt: skip
    assert Path("digits_labels.txt").read_text().splitlines() == LABELS


def test_maps_that_were_copied_by_hand_are_refused_with_what_to_do(place: Path) -> None:
    save_zipmap(place / "model.onnx", classlabels_strings=LABELS)
    with pytest.raises(ModelLoadError, match=r"output_probability is a list of maps \(ZipMap\).*make add_model"):
        OnnxModel(place / "model.onnx")
