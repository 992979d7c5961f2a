import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_zoo.calibrate import prepare
from moon_vision_challenge.model_zoo.keras_models import ARCHITECTURES, main

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
    assert capsys.readouterr().out.count("already there") == 2
    assert sorted(path.name for path in (models / "resnet").iterdir()) == [".lock", "1"]


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
