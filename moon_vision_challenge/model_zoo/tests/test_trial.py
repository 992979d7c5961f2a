"""Where TensorFlow is installed, a SavedModel is tried on a photo before it is added."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_zoo.__main__ import main

LABELS = ["dark", "light"]


@pytest.fixture
def tf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("models.config").write_text("model_config_list {}")
    Path("names.txt").write_text("\n".join(LABELS))
    Image.new("RGB", (40, 30), (200, 200, 200)).save("photo.png")
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make test_tf")


def scores(tf: Any, pixels: Any) -> Any:
    """Return how light a picture is, from 0 to 1."""
    light = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[1, 2, 3]) / 255
    return {"scores": tf.stack([1 - light, light], axis=1)}


def save(tf: Any, function: Any, dtype: Any, shape: tuple[int | None, ...]) -> None:
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, name="image")])
    tf.saved_model.save(module, "net", signatures={"serving_default": module.serve})


def add() -> int:
    return main(["add", "net", "--labels", "names.txt", "--scale", "1", "--photo", "photo.png"])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels(tf: Any, capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    save(tf, lambda pixels: scores(tf, pixels), tf.as_dtype(dtype), (None, 32, 32, 3))
    assert add() == 0
    assert "photo.png: light\n    0.7843  light\n    0.2157  dark\n" in capsys.readouterr().out


def test_an_encoded_picture(tf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def decode(data: Any) -> Any:
        pixels = tf.map_fn(lambda one: tf.io.decode_jpeg(one, channels=3), data, fn_output_signature=tf.uint8)
        return scores(tf, pixels)

    save(tf, decode, tf.string, (None,))
    assert add() == 0
    assert "photo.png: light\n" in capsys.readouterr().out


def test_labels_in_the_answer(tf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def name(pixels: Any) -> Any:
        return {"classes": tf.gather(tf.constant(LABELS), tf.argmax(scores(tf, pixels)["scores"], axis=1))}

    save(tf, name, tf.uint8, (None, 32, 32, 3))
    assert add() == 0
    assert "photo.png: light\n" in capsys.readouterr().out


def test_a_model_that_does_not_run_is_not_added(tf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(pixels: Any) -> Any:
        tf.debugging.assert_equal(tf.shape(pixels)[0], 7, message="It wants seven.")
        return scores(tf, pixels)

    save(tf, fail, tf.uint8, (None, 32, 32, 3))
    assert add() == 1
    assert "Nothing was added. The model cannot be run on the picture: " in capsys.readouterr().err
    assert not Path("models").exists()


def test_sizes_that_the_model_leaves_open(tf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    save(tf, lambda pixels: scores(tf, pixels), tf.uint8, (None, None, None, 3))
    assert main(["add", "net", "--labels", "names.txt", "--input_size", "16", "--photo", "photo.png"]) == 0
    assert np.isclose(float(capsys.readouterr().out.split("photo.png: light\n")[1].split()[0]), 0.7843)
