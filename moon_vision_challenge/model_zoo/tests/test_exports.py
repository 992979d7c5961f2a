"""How trainers and model hubs lay out their files, and the message about files that cannot be served."""

import json
from pathlib import Path

import pytest

from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.exports import find_export


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"from": name}))


@pytest.mark.parametrize("named", ["vit", "vit/onnx/model.onnx", "vit/onnx/model_quantized.onnx"])
def test_a_repository_of_hugging_face_describes_its_models_one_folder_above(tmp_path: Path, named: str) -> None:
    write(tmp_path / "vit", "config.json", "onnx/model.onnx", "onnx/model_quantized.onnx")
    with find_export(tmp_path / named) as export:
        assert export.read_json("config.json") == {"from": "config.json"}
        assert export.name == ("model_quantized" if "quantized" in named else "vit")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("model.json", "In Teachable Machine: Export Model, TensorFlow, SavedModel"),
        ("pytorch_model.bin", "`optimum-cli export onnx"),
        ("best.pt", "`yolo export"),
        ("model.tflite", "Export a SavedModel"),
        ("openvino_model.xml", "Export ONNX"),
        ("best.engine", "Export ONNX"),
        ("NET.H5", "`keras.models.load_model"),
        ("net.weights.h5", "`model.load_weights"),
    ],
)
def test_a_file_that_cannot_be_served_says_what_to_export(tmp_path: Path, name: str, how: str) -> None:
    write(tmp_path / "export", name)
    for path in (tmp_path / "export", tmp_path / "export" / name):
        with pytest.raises(AddError, match="neither") as caught, find_export(path):
            pass
        assert how in str(caught.value)
