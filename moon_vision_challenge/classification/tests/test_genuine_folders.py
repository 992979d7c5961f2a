"""Folders and files from Hugging Face's optimum and Ultralytics. Their own pipelines provide the expected results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.classification.tests.adding import LABELS, PHOTOS, Add, check
from moon_vision_challenge.classification.tests.test_genuine_exports import declare_missing_operators

# The libraries warn about each other's versions, and about tracing a model.
pytestmark = pytest.mark.filterwarnings("ignore")

LARGER = 10
"""The factor for the weights of an untrained last layer. Without it, all its scores would be alike."""


@pytest.fixture
def torch() -> Any:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    declare_missing_operators(torch)
    torch.manual_seed(0)
    return torch


def enlarge(torch: Any, layer: Any) -> None:
    with torch.no_grad():
        layer.weight *= LARGER


def test_optimum(add: Add, tmp_path: Path, torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    exporters = pytest.importorskip("optimum.exporters.onnx", reason="optimum-onnx is not installed")
    transformers: Any = pytest.importorskip("transformers")

    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=64,
        id2label=dict(enumerate(LABELS)), label2id={name: index for index, name in enumerate(LABELS)},
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    enlarge(torch, model.classifier)
    prepare = transformers.ViTImageProcessor(size={"height": 64, "width": 64})
    for each in (model, prepare):
        each.save_pretrained(tmp_path / "vit")
    exporters.main_export(str(tmp_path / "vit"), str(tmp_path / "export"), task="image-classification")
    with torch.no_grad():
        logits = model(**prepare(PHOTOS, return_tensors="pt")).logits
    check(add(tmp_path / "export", "vit"), list(logits.softmax(-1).numpy()), LABELS)


def test_ultralytics(add: Add, tmp_path: Path, torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    ultralytics: Any = pytest.importorskip("ultralytics", reason="ultralytics is not installed")

    model = ultralytics.YOLO("yolo11n-cls.yaml")
    normalize_by_photos(torch, model.model)
    enlarge(torch, model.model.model[-1].linear)
    names = [model.names[index] for index in range(len(model.names))]
    expected = [np.asarray(found.probs.data) for found in model.predict(PHOTOS, imgsz=224, verbose=False)]
    with monkeypatch.context() as inside:
        inside.chdir(tmp_path)
        exported = Path(model.export(format="onnx", imgsz=224, simplify=False)).resolve()
    check(add(exported, "yolo"), expected, names)


def normalize_by_photos(torch: Any, module: Any) -> None:
    """Give batch normalization the statistics of photos. Without them, an untrained deep network returns zeros."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    pixels = np.stack([np.asarray(photo.resize((224, 224)), np.float32) / 255 for photo in PHOTOS])
    module.train()
    with torch.no_grad():
        module(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    module.eval()
