"""Files from trainers' own exporters are added, served, and called. Their frameworks provide the expected results.

The frameworks are large, so they are not installed with the tests. Each test says which one it needs.
"""

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.classification.tests.adding import LABELS, LABELS_FILE, PHOTOS, Add, check


@pytest.mark.parametrize("zipmap", [True, False])
def test_scikit_learn(add: Add, tmp_path: Path, zipmap: bool) -> None:
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx and scikit-learn are not installed")
    linear_model = pytest.importorskip("sklearn.linear_model")

    chance = np.random.default_rng(0)
    names = np.array(["dark", "light", "medium"])
    pixels = chance.random((120, 8 * 8), np.float32)
    trained = linear_model.LogisticRegression(max_iter=2000).fit(pixels, names[(pixels.mean(1) * 1000).astype(int) % 3])
    model = skl2onnx.to_onnx(trained, pixels[:1], options={id(trained): {"zipmap": zipmap}}, target_opset=17)
    (tmp_path / "grey.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "three.names").write_text("\n".join(names))
    options = ["--input_size", "8", "--resize", "stretch", "--scale", "255"]
    labels = [] if zipmap else ["--labels", str(tmp_path / "three.names"), "--output", "probabilities"]
    classificator = add(tmp_path / "grey.onnx", "grey", *options, *labels)
    grey = [np.asarray(one.convert("L").resize((8, 8), Image.Resampling.BICUBIC), np.float32) / 255 for one in PHOTOS]
    check(classificator, list(trained.predict_proba(np.stack(grey).reshape(len(PHOTOS), -1))), list(names))


def declare_missing_operators(torch: Any) -> None:
    """Declare what PyPI's torchvision, built for CUDA, lacks beside a torch without CUDA. No test uses it."""
    if torch.version.cuda is not None:
        return
    for name in ("nms", "qnms"):
        with suppress(RuntimeError):
            torch.library.define(f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")


def export(torch: Any, module: Any, size: int, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, torch.zeros(1, 3, size, size), str(path), input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, dynamo=False, opset_version=17,
        )  # fmt: skip


def test_torch_with_torchvision(add: Add, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    declare_missing_operators(torch)
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    presets = pytest.importorskip("torchvision.transforms._presets")

    torch.manual_seed(0)
    module = torchvision.models.resnet18(weights=None, num_classes=len(LABELS)).eval()
    export(torch, module, 224, tmp_path / "net.onnx")
    prepare = presets.ImageClassification(crop_size=224)
    with torch.no_grad():
        expected = [module(prepare(one)[None]).softmax(1)[0].numpy() for one in PHOTOS]
    check(
        add(tmp_path / "net.onnx", "net", "--preset", "torchvision", "--labels", str(tmp_path / LABELS_FILE)),
        expected,
        LABELS,
    )


def test_torch_with_timm(add: Add, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    declare_missing_operators(torch)
    timm = pytest.importorskip("timm", reason="timm is not installed")
    hub = pytest.importorskip("timm.models._hub")

    torch.manual_seed(0)
    module = timm.create_model("resnet18", pretrained=False, num_classes=len(LABELS)).eval()
    folder = tmp_path / "export"
    folder.mkdir()
    export(torch, module, 224, folder / "model.onnx")
    hub.save_config_for_hf(module, folder / "config.json", {"label_names": LABELS})
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    with torch.no_grad():
        expected = [module(prepare(one)[None]).softmax(1)[0].numpy() for one in PHOTOS]
    check(add(folder, "timm_net"), expected, LABELS)


def test_torch_alone(add: Add, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 7, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, len(LABELS)),
    ).eval()  # fmt: skip
    export(torch, module, 64, tmp_path / "small.onnx")
    options = ["--resize", "stretch", "--interpolation", "bilinear", "--scale", "255", "--activation", "softmax"]
    classificator = add(tmp_path / "small.onnx", "small", *options, "--labels", str(tmp_path / LABELS_FILE))
    pixels = [np.asarray(one.resize((64, 64), Image.Resampling.BILINEAR), np.float32) / 255 for one in PHOTOS]
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())
        expected = list(module(batch).softmax(1).numpy())
    check(classificator, expected, LABELS)


def test_keras(add: Add, tmp_path: Path) -> None:
    tensorflow: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make test_tf")
    keras: Any = pytest.importorskip("keras")

    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None, classes=len(LABELS), input_shape=(64, 64, 3))
    model.export(str(tmp_path / "resnet"), verbose=False)
    classificator = add(
        tmp_path / "resnet", "keras_net", "--preset", "keras-resnet50", "--labels", str(tmp_path / LABELS_FILE)
    )
    expected = []
    for image in PHOTOS:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        loaded = keras.utils.img_to_array(keras.utils.load_img(io.BytesIO(buffer.getvalue()), target_size=(64, 64)))
        prepared = keras.applications.resnet.preprocess_input(loaded[None])
        expected.append(model(tensorflow.constant(prepared), training=False).numpy()[0])
    check(classificator, expected, LABELS)


@pytest.mark.filterwarnings("ignore")  # tf2onnx uses features that NumPy and TensorFlow will remove
def test_keras_to_onnx(add: Add, tmp_path: Path) -> None:
    """Keras exports ONNX with tf2onnx."""
    keras: Any = pytest.importorskip("keras", reason="Keras is not installed: make test_tf")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: make test_tf")

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(8, 7, 4, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    pixels = [np.asarray(one.resize((64, 64), Image.Resampling.BILINEAR), np.float32) for one in PHOTOS]
    expected = model(np.stack(pixels), training=False).numpy()  # Keras exports a model only after a call
    model.export(str(tmp_path / "small.onnx"), format="onnx", verbose=False)
    options = ["--resize", "stretch", "--interpolation", "bilinear", "--mean", "0"]
    classificator = add(tmp_path / "small.onnx", "keras_onnx", *options, "--labels", str(tmp_path / LABELS_FILE))
    check(classificator, list(expected), LABELS)
