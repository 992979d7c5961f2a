import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from moon_vision_challenge.model_zoo.build import ranges_path, weights_path
from moon_vision_challenge.model_zoo.calibrate import main, measure_ranges, prepare
from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph
from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict
from moon_vision_challenge.model_zoo.quantization import quantize, quantized_tensors, read_ranges, weight_limits

LITE0 = "efficientnet_lite0"
COFFEE = Path(__file__).parents[3] / "samples" / "coffee.jpg"
ESPRESSO = 967  # of ImageNet's classes


@pytest.fixture(scope="module")
def float_model() -> onnx.ModelProto:
    return build_graph(LITE0, read_state_dict(weights_path(LITE0)))


@pytest.fixture(scope="module")
def int8_model(float_model: onnx.ModelProto) -> onnx.ModelProto:
    return quantize(float_model, read_ranges(ranges_path(LITE0)))


def probabilities(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    [result] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images})
    return np.asarray(result)


def test_the_int8_model_sees_in_the_sample_photo_what_the_float32_model_sees(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto
) -> None:
    image = prepare(COFFEE, 224)
    expected, given = probabilities(float_model, image)[0], probabilities(int8_model, image)[0]
    assert expected.argmax() == given.argmax() == ESPRESSO
    assert abs(expected[ESPRESSO] - given[ESPRESSO]) < 0.1


def test_the_int8_model_keeps_inputs_outputs_and_signatures(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto
) -> None:
    assert int8_model.graph.input == float_model.graph.input
    assert int8_model.graph.output == float_model.graph.output
    assert int8_model.metadata_props == float_model.metadata_props


def test_weights_are_signed_and_per_channel_and_activations_unsigned(int8_model: onnx.ModelProto) -> None:
    constants = {constant.name: constant for constant in int8_model.graph.initializer}
    activations = [node for node in int8_model.graph.node if node.op_type == "QuantizeLinear"]
    assert {constants[node.input[2]].data_type for node in activations} == {onnx.TensorProto.UINT8}
    stem = constants["_conv_stem.kernel_quantized"]
    assert stem.data_type == onnx.TensorProto.INT8
    assert list(constants["_conv_stem.kernel_scale"].dims) == [32]


def test_no_two_neighbouring_weights_overflow_16_bits_on_a_cpu_without_vnni(int8_model: onnx.ModelProto) -> None:
    constants = {constant.name: constant for constant in int8_model.graph.initializer}
    checked = 0
    for name, constant in constants.items():
        if constant.data_type != onnx.TensorProto.INT8 or not name.endswith("_quantized") or "depthwise" in name:
            continue
        weights = onnx.numpy_helper.to_array(constant).astype(np.int32)
        channels = weights.reshape(len(weights), -1)
        pairs = np.pad(channels, ((0, 0), (0, channels.shape[1] % 2))).reshape(len(weights), -1, 2)
        for sign in (1, -1):
            assert 255 * np.maximum(sign * pairs, 0).sum(axis=2).max() < 2**15, name
        checked += 1
    assert checked == 34  # the stem, 16 blocks with a projection, 15 of them with an expansion, the head, the classes


def test_what_onnxruntime_runs_in_int8_is_what_the_quantised_graph_says(int8_model: onnx.ModelProto) -> None:
    image = prepare(COFFEE, 224)
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # float32 between Q and DQ
    session = onnxruntime.InferenceSession(int8_model.SerializeToString(), exact)
    [expected] = session.run(None, {"images": image})
    assert np.abs(expected - probabilities(int8_model, image)).max() < 0.02


@pytest.mark.parametrize(
    ("channel", "limit"),
    [([3, -1, 0, 2], 3), ([3, 1, 0, 2], 4), ([1, -3, 2, -4], 4), ([-3, -3, 2, 2], 6), ([1, 1, 3], 3)],
)
def test_a_channel_gets_a_wider_scale_only_for_a_pair_of_neighbours(channel: list[int], limit: int) -> None:
    assert weight_limits(np.array([channel], np.float32)).tolist() == [limit]
    assert weight_limits(np.array([channel], np.float32)[..., None, None]).tolist() == [limit]


def test_any_two_weights_of_a_larger_kernel_are_neighbours() -> None:
    kernel = np.array([[[[3, 0, -1], [0, 2, -1]]]], np.float32)
    assert weight_limits(kernel).tolist() == [5]


def test_the_stored_ranges_are_those_that_the_graph_needs_and_say_on_what_they_were_measured(
    float_model: onnx.ModelProto,
) -> None:
    assert list(read_ranges(ranges_path(LITE0))) == quantized_tensors(float_model)
    content = json.loads(ranges_path(LITE0).read_text())
    assert content["calibrated_on"].startswith("32 photos: ")
    assert {"date", "onnxruntime"} < set(content)


def test_an_activation_without_a_range_is_an_error(float_model: onnx.ModelProto) -> None:
    with pytest.raises(KeyError):
        quantize(float_model, {})


def test_ranges_grow_with_every_batch(float_model: onnx.ModelProto) -> None:
    black, white = (np.full((1, 224, 224, 3), value, np.uint8) for value in (0, 255))
    first = quantized_tensors(float_model)[0]  # the prepared pixels
    assert measure_ranges(float_model, [black])[first] == (-127 / 128, -127 / 128)
    assert measure_ranges(float_model, [black, white])[first] == (-127 / 128, 1.0)


def test_calibration_reads_folders_and_writes_one_line_per_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for shade in (10, 200):
        Image.new("L", (300, 200), shade).save(tmp_path / "photos" / f"{shade}.png")
    output = tmp_path / "ranges.json"
    assert main([str(tmp_path / "photos"), "--kind", "two greys", "--output", str(output)]) == 0
    assert "of 2 photos: two greys" in capsys.readouterr().out
    first = next(line for line in output.read_text().splitlines() if "[" in line)
    assert json.loads("{" + first.rstrip(",") + "}") == {"mul_3": [-0.914062, 0.570312]}


def test_a_file_that_is_not_a_photo_is_reported_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    assert main([str(tmp_path / "text.jpg"), "--output", str(tmp_path / "ranges.json")]) == 1
    assert "Cannot calibrate: cannot identify image file" in capsys.readouterr().err
    assert not (tmp_path / "ranges.json").exists()
