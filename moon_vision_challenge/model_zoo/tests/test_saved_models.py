import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_zoo.architectures import ARCHITECTURES, LITE, NAMES
from moon_vision_challenge.model_zoo.calibrate import prepare
from moon_vision_challenge.model_zoo.saved_models import main

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: requirements/tensorflow.txt")
keras: Any = pytest.importorskip("keras")

COFFEE = Path(__file__).parents[3] / "samples" / "coffee.jpg"
SEED = "7"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    assert main(["--models_dir", str(folder), "--random-weights", SEED]) == 0
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_raw_pixels_are_preprocessed_in_the_graph(models: Path, name: str) -> None:
    size = ARCHITECTURES[name].image_size
    pixels = prepare(COFFEE, size)
    keras.utils.set_random_seed(int(SEED))
    model = getattr(keras.applications, ARCHITECTURES[name].keras_name)(weights=None)
    if name == "resnet":
        prepared = pixels[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    else:
        prepared = pixels.astype(np.float32) / 127.5 - 1
    raw = tf.saved_model.load(str(models / name / "1")).signatures["raw"]
    given = raw(images=tf.constant([pixels.tobytes()]))["probabilities"].numpy()
    np.testing.assert_allclose(given, model(prepared, training=False).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_encoded_pictures_are_decoded_and_cropped_in_the_graph(models: Path, name: str) -> None:
    loaded = tf.saved_model.load(str(models / name / "1"))
    size = ARCHITECTURES[name].image_size
    png = io.BytesIO()
    Image.open(COFFEE).convert("RGB").save(png, "PNG")
    encoded = loaded.signatures["serving_default"](images=tf.constant([png.getvalue(), COFFEE.read_bytes()]))
    raw = loaded.signatures["raw"](images=tf.constant([prepare(COFFEE, size).tobytes()]))["probabilities"].numpy()
    assert encoded["classes"].dtype == tf.int64
    np.testing.assert_array_equal(encoded["classes"], encoded["probabilities"].numpy().argmax(axis=1))
    for probabilities in encoded["probabilities"].numpy():
        assert probabilities.argmax() == raw.argmax()
        np.testing.assert_allclose(probabilities, raw[0], rtol=0.1, atol=1e-4)  # TensorFlow's bicubic is not Pillow's


def test_bytes_of_another_length_are_refused(models: Path) -> None:
    raw = tf.saved_model.load(str(models / "resnet" / "1")).signatures["raw"]
    half = bytes(224 * 224 * 3 // 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        raw(images=tf.constant([half, half]))


def test_a_second_export_leaves_the_first(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models_dir", str(models)]) == 0
    assert capsys.readouterr().out.count("already there") == len(NAMES)
    for name in NAMES:
        assert sorted(path.name for path in (models / name).iterdir()) == [".lock", "1"]


def test_efficientnet_lite0_stands_beside_its_onnx_model_and_completes_what_a_killed_run_left(
    models: Path, tmp_path: Path
) -> None:
    found = {path.name for path in (models / LITE / "1").iterdir()}
    assert {"model.onnx", "saved_model.pb", "variables", "assets.extra"} <= found
    shutil.copytree(models / LITE, tmp_path / LITE)
    (tmp_path / LITE / "1" / "saved_model.pb").unlink()
    (tmp_path / LITE / "1" / "variables" / "variables.index").write_bytes(b"half")
    assert main([LITE, "--models_dir", str(tmp_path)]) == 0
    raw = tf.saved_model.load(str(tmp_path / LITE / "1")).signatures["raw"]
    scores = raw(images=tf.constant([prepare(COFFEE, 224).tobytes()]))["probabilities"].numpy()
    assert scores.argmax() == 967  # espresso


def test_a_model_of_somebody_else_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / LITE / "1").mkdir(parents=True)
    (tmp_path / LITE / "1" / "model.onnx").write_bytes(b"theirs")
    assert main([LITE, "--models_dir", str(tmp_path)]) == 0
    assert "left unchanged" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / LITE / "1").iterdir()] == ["model.onnx"]


def test_a_killed_export_leaves_nothing_that_is_served_and_the_next_one_completes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "moon_vision_challenge.model_zoo.saved_models", "resnet", "--random-weights", "1"]
    process = subprocess.Popen([*command, "--models_dir", str(tmp_path)])
    unfinished = tmp_path / "resnet" / ".building"
    deadline = time.monotonic() + 180
    while not unfinished.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert unfinished.exists()
    assert not (tmp_path / "resnet" / "1").exists()
    subprocess.run([*command, "--models_dir", str(tmp_path)], check=True, timeout=600)
    assert sorted(path.name for path in (tmp_path / "resnet").iterdir()) == [".lock", "1"]


def test_weights_that_cannot_be_downloaded_are_a_plain_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise Exception("URL fetch failure on https://example.com/w.h5: None -- Name or service not known")  # noqa: TRY002 - as Keras does

    monkeypatch.setattr(keras.applications, "ResNet50", refuse)
    assert main(["resnet", "--models_dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "The ImageNet weights of resnet cannot be downloaded: URL fetch failure" in error
    assert "MODEL_DATA_URL" in error
    assert [path.name for path in (tmp_path / "resnet").iterdir()] == [".lock"]
