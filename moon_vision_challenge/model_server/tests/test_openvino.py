"""OpenVINO beside onnxruntime, on the real model and on small ones."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_server.config import ModelConfig
from moon_vision_challenge.model_server.loading import load_runtime
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.model_server.runtime import InvalidInputError, ModelLoadError
from moon_vision_challenge.model_server.tests.conftest import (
    models_config,
    save_half,
    save_pixels,
    save_sum,
    save_text,
    start_server,
)
from moon_vision_challenge.model_zoo.build import Precision, build_model
from native.environment import ROOT

# The runtimes sum int8 products in other orders and round at other points. On a hundred photos, the labels agree.
TOLERANCES: dict[Precision, float] = {"int8": 0.08, "float32": 1e-5}


def pictures() -> np.ndarray:
    """Return the sample photo, and parts of it."""
    with Image.open(ROOT / "samples" / "coffee.jpg") as photo:
        width, height = photo.size
        side = min(width, height) // 2
        corners = [(x, y) for x in (0, (width - side) // 2, width - side) for y in (0, height - side)]
        boxes = [(0, 0, width, height), (0, 0, height, height), *((x, y, x + side, y + side) for x, y in corners)]
        return np.stack([np.asarray(photo.convert("RGB").resize((224, 224), box=box)) for box in boxes])


def as_bytes(items: np.ndarray) -> np.ndarray:
    return np.array([item.tobytes() for item in items], dtype=object)


@pytest.mark.e2e
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_both_runtimes_agree_on_the_real_model(tmp_path: Path, precision: Precision) -> None:
    build_model("efficientnet_lite0", tmp_path, precision)
    folder, images = tmp_path / "efficientnet_lite0" / "1", pictures()
    found = {}
    for platform in ("onnxruntime", "openvino"):
        runtime = load_runtime(folder, platform=platform, threads=2)
        parts = runtime.split("raw", {"images": as_bytes(images)})
        assert [len(part["images"]) for part in parts] == [2, 2, 2, 2]
        found[platform] = np.concatenate([runtime.run("raw", part)["probabilities"] for part in parts])
        assert runtime.run("serving_default", {"images": images[:1]})["probabilities"].shape == (1, 1000)
    expected, got = found["onnxruntime"], found["openvino"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCES[precision])
    clear = np.ptp(np.sort(expected)[:, -2:], axis=1) > 2 * TOLERANCES[precision]
    assert clear.any()
    np.testing.assert_array_equal(got.argmax(1)[clear], expected.argmax(1)[clear])


def test_both_runtimes_show_the_same_signatures(tmp_path: Path) -> None:
    for number, save in enumerate((save_half, save_pixels, save_sum)):
        save(tmp_path / str(number) / "model.onnx")
        shown = [load_runtime(tmp_path / str(number), platform=each).signatures for each in ("onnxruntime", "openvino")]
        assert shown[0] == shown[1]


def test_an_input_of_another_shape_is_refused_and_the_next_one_is_answered(tmp_path: Path) -> None:
    save_half(tmp_path / "1" / "model.onnx")
    runtime = load_runtime(tmp_path / "1", platform="openvino")
    with pytest.raises(InvalidInputError, match="shape"):
        runtime.run("serving_default", {"x": np.ones((1, 3), np.float32)})
    np.testing.assert_array_equal(runtime.run("serving_default", {"x": np.ones((1, 2), np.float32)})["y"], [[0.5, 0.5]])


def test_an_answer_stays_as_it_is_when_the_next_one_comes(tmp_path: Path) -> None:
    save_half(tmp_path / "1" / "model.onnx")
    runtime = load_runtime(tmp_path / "1", platform="openvino")
    first = runtime.run("serving_default", {"x": np.ones((1, 2), np.float32)})["y"]
    runtime.run("serving_default", {"x": np.zeros((1, 2), np.float32)})
    np.testing.assert_array_equal(first, [[0.5, 0.5]])


def test_a_model_of_text_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save_text(tmp_path / "1" / "model.onnx")
    with pytest.raises(ModelLoadError, match="run it with onnxruntime"):
        load_runtime(tmp_path / "1", platform="openvino")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelLoadError, match="OpenVINO cannot load it"):
        load_runtime(tmp_path, platform="openvino")


@pytest.mark.parametrize("platform", ["openvino", "openvino_bf16"])
def test_without_the_package_the_model_is_not_available_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    save_half(tmp_path / "1" / "model.onnx")
    with pytest.raises(ModelLoadError, match=r"not installed: pip install -r requirements/openvino.txt"):
        load_runtime(tmp_path / "1", platform=platform)


def test_bfloat16_only_where_the_model_asks_for_it(tmp_path: Path) -> None:
    save_half(tmp_path / "1" / "model.onnx")
    precisions = []
    for platform in ("openvino", "openvino_bf16"):
        runtime: Any = load_runtime(tmp_path / "1", platform=platform)
        precisions.append(runtime._precision)
        np.testing.assert_array_equal(runtime.run("serving_default", {"x": np.ones((1, 2), np.float32)})["y"], 0.5)
    assert precisions == ["f32", "bf16"]


def test_an_unknown_platform_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    save_half(tmp_path / "1" / "model.onnx")
    with pytest.raises(ModelLoadError, match=r"'pytorch': expected one of tensorflow, onnxruntime, openvino"):
        load_runtime(tmp_path / "1", platform="pytorch")


def test_the_platform_of_a_model_goes_before_that_of_the_server_and_may_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_half(tmp_path / name / "1" / "model.onnx")
    registry = ModelRegistry(tmp_path, default_platform="openvino", threads=2)

    def runtimes(*platforms: str) -> list[str]:
        registry.update(ModelConfig(name, f"/models/{name}", each) for name, each in zip("ab", platforms, strict=True))
        return [type(registry.available(name)[1]).__name__ for name in "ab"]

    assert runtimes("tensorflow", "onnxruntime") == ["OpenVinoModel", "OnnxModel"]
    kept = registry.available("a")[1]
    assert runtimes("openvino", "openvino") == ["OpenVinoModel", "OpenVinoModel"]
    assert registry.available("a")[1] is kept


def test_importing_it_reports_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = (
        "import sys; import moon_vision_challenge.model_server.openvino_runtime; "
        "sys.exit('openvino_telemetry' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], env=environment, timeout=600, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_the_server_runs_a_model_in_openvino_for_many_clients_at_once(tmp_path: Path) -> None:
    save_half(tmp_path / "models" / "half" / "1" / "model.onnx")
    (tmp_path / "models.config").write_text(models_config("half"))
    server = start_server(tmp_path, "--runtime=openvino", "--inference_threads=2")
    for value in range(50):
        body = {"instances": [[value, 1.0]] * (1 + value % 8)}
        assert server.predict("half", body).json() == {"predictions": [[value / 2, 0.5]] * (1 + value % 8)}
    assert server.stop() == 0
