"""SavedModels in the real server, beside ONNX models."""

import base64
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.model_server.loading import load_runtime
from moon_vision_challenge.model_server.runtime import ModelLoadError
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, save_half, start_server

IMPORT_DEADLINE_S = 180  # TensorFlow's import alone takes seconds, and half a minute on a busy machine


def test_without_tensorflow_a_saved_model_is_not_available_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelLoadError, match="TensorFlow is not installed: pip install -r requirements/"):
        load_runtime(tmp_path)


def save_words(tf: Any, folder: Path) -> None:
    """Save a model with a variable, and with a file that it reads when it is loaded."""
    words = tf.Module()
    (folder / "words.txt").write_text("tench\nshark\n")
    source = tf.lookup.TextFileInitializer(
        str(folder / "words.txt"), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, 0
    )
    words.table = tf.lookup.StaticHashTable(source, "unknown")
    words.weights = tf.Variable(tf.ones([1000, 1000]))

    def look_up(index: Any) -> dict[str, Any]:
        return {"word": words.table.lookup(index), "weight": tf.gather(words.weights[:, 999], index)}

    spec = tf.TensorSpec([None], tf.int64, name="index")
    signatures = {"serving_default": tf.function(look_up, input_signature=[spec])}
    tf.saved_model.save(words, str(folder / "models" / "words" / "1"), signatures=signatures)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: requirements/tensorflow.txt")
    folder = tmp_path_factory.mktemp("saved")

    def double(x: Any) -> dict[str, Any]:
        return {"y": x * 2}

    def lengths(data: Any) -> dict[str, Any]:
        return {"length": tf.strings.length(data), "copy_bytes": data}

    signatures = {
        "serving_default": tf.function(double, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")]),
        "lengths": tf.function(lengths, input_signature=[tf.TensorSpec([None], tf.string, name="data")]),
    }
    save_words(tf, folder)
    for name in ("saved", "cold"):
        tf.saved_model.save(tf.Module(), str(folder / "models" / name / "1"), signatures=signatures)
    for name, signature in (("saved", "lengths"), ("cold", "unknown")):
        extra = folder / "models" / name / "1" / "assets.extra"
        extra.mkdir()
        (extra / "warmup.json").write_text(json.dumps([{"signature_name": signature, "instances": ["a"]}]))
    (folder / "models" / "damaged" / "1").mkdir(parents=True)
    (folder / "models" / "damaged" / "1" / "saved_model.pb").write_bytes(b"not a model")
    save_half(folder / "models" / "half" / "1" / "model.onnx")
    (folder / "models.config").write_text(models_config("saved", "cold", "damaged", "half", "words"))
    running = start_server(folder, deadline_s=IMPORT_DEADLINE_S)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


def test_a_saved_model_is_served_beside_an_onnx_model(server: Server) -> None:
    assert server.predict("saved", {"instances": [[1, 2], [3, 4]]}).json() == {"predictions": [[2.0, 4.0], [6.0, 8.0]]}
    assert server.predict("half", {"instances": [[1, 2]]}).json() == {"predictions": [[0.5, 1.0]]}


def test_a_loaded_saved_model_does_not_change_with_its_files(server: Server) -> None:
    expected = {"predictions": [{"word": "tench", "weight": 1.0}, {"word": "shark", "weight": 1.0}]}
    assert server.predict("words", {"instances": [0, 1]}).json() == expected
    files = [path for path in (server.log.parent / "models" / "words").rglob("*") if path.is_file()]
    assert {"words.txt", "saved_model.pb"} <= {path.name for path in files}
    for path in files:
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
    assert server.predict("words", {"instances": [0, 1]}).json() == expected
    for path in files:
        os.truncate(path, 0)
    assert server.predict("words", {"instances": [0, 1]}).json() == expected
    for path in files:
        path.unlink()
    assert server.predict("words", {"instances": [0, 1]}).json() == expected


def test_strings_of_bytes_go_in_and_out(server: Server) -> None:
    data = {"b64": base64.b64encode(b"\xff\x00").decode()}
    answer = server.predict("saved", {"signature_name": "lengths", "instances": [data]}).json()
    assert answer == {"predictions": [{"length": 2, "copy_bytes": data}]}


def test_an_input_of_the_wrong_shape_is_answered_400(server: Server) -> None:
    response = server.predict("saved", {"instances": [[1, 2, 3]]})
    assert response.status_code == 400
    assert response.json()["error"] == "Input x has the shape [1, 3]; (None, 2) is needed"


def test_metadata_names_types_and_shapes(server: Server) -> None:
    signatures = server.get("/v1/models/saved/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "lengths"}
    x = signatures["serving_default"]["inputs"]["x"]
    assert (x["dtype"], [dim["size"] for dim in x["tensor_shape"]["dim"]]) == ("DT_FLOAT", ["-1", "2"])
    assert signatures["lengths"]["outputs"]["length"]["dtype"] == "DT_INT32"


@pytest.mark.parametrize(
    ("model", "reason"), [("damaged", "TensorFlow cannot load it"), ("cold", "warm-up requests: 'unknown'")]
)
def test_what_cannot_be_loaded_is_not_available_and_says_why(server: Server, model: str, reason: str) -> None:
    [status] = server.get(f"/v1/models/{model}").json()["model_version_status"]
    assert status["state"] == "END"
    assert reason in status["status"]["error_message"]


def test_the_server_gives_the_scores_that_tensorflow_gives_in_process(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed: requirements/tensorflow.txt")
    import tensorflow as tf

    from moon_vision_challenge.model_zoo.architectures import ARCHITECTURES
    from moon_vision_challenge.model_zoo.calibrate import prepare
    from moon_vision_challenge.model_zoo.saved_models import main

    assert main(["--models_dir", str(tmp_path / "models"), "--random-weights", "7"]) == 0
    (tmp_path / "models.config").write_text(models_config(*ARCHITECTURES))
    server = start_server(tmp_path, deadline_s=IMPORT_DEADLINE_S)
    photo = Path(__file__).parents[3] / "samples" / "coffee.jpg"
    for name, architecture in ARCHITECTURES.items():
        signatures = tf.saved_model.load(str(tmp_path / "models" / name / "1")).signatures
        for signature, data in (
            ("raw", prepare(photo, architecture.image_size).tobytes()),
            ("serving_default", photo.read_bytes()),
        ):
            body = {"signature_name": signature, "inputs": [{"b64": base64.b64encode(data).decode()}]}
            answer = server.predict(name, body).json()["outputs"]
            expected = signatures[signature](images=tf.constant([data]))
            given = answer if signature == "raw" else answer["probabilities"]
            np.testing.assert_allclose(given, expected["probabilities"].numpy(), atol=1e-6)
            assert np.argmax(given) == np.argmax(expected["probabilities"])
            assert signature == "raw" or answer["classes"] == expected["classes"].numpy().tolist()
    assert server.stop() == 0
