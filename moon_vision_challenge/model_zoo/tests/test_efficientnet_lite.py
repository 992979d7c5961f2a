import numpy as np
import onnx
import onnxruntime
import pytest

from moon_vision_challenge.model_zoo.build import weights_path
from moon_vision_challenge.model_zoo.efficientnet_lite import (
    blocks_of,
    build_graph,
    fold_batch_norm,
    same_padding,
    scale_channels,
)
from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict
from moon_vision_challenge.model_zoo.variants import VARIANTS


def test_a_folded_convolution_equals_convolution_then_batch_norm() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    gamma, beta, mean = rng.normal(size=(3, 4)).astype(np.float32)
    variance = rng.uniform(0.1, 2, 4).astype(np.float32)
    pixel = rng.normal(size=3)
    expected = gamma * (kernel[:, :, 0, 0] @ pixel - mean) / np.sqrt(variance + 1e-3) + beta
    folded, bias = fold_batch_norm(kernel, gamma, beta, mean, variance)
    np.testing.assert_allclose(folded[:, :, 0, 0] @ pixel + bias, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (224, 3, 2, (0, 1)),
        (15, 5, 2, (2, 2)),
        (14, 5, 2, (1, 2)),
        (7, 3, 1, (1, 1)),
        (7, 1, 1, (0, 0)),
        (8, 1, 2, (0, 0)),
    ],
)
def test_same_padding_puts_the_odd_pixel_after(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == padding


def test_channels_are_rounded_to_multiples_of_eight() -> None:
    assert [scale_channels(channels, 1.1) for channels in (16, 24, 40, 80, 112, 192, 320)] == [
        16,
        24,
        48,
        88,
        120,
        208,
        352,
    ]
    assert scale_channels(10, 1.1) == 16  # 8 would remove more than a tenth


@pytest.mark.parametrize(
    ("name", "blocks"), [("efficientnet_lite0", 16), ("efficientnet_lite1", 21), ("efficientnet_lite2", 21)]
)
def test_depth_is_scaled_except_in_the_first_and_last_stage(name: str, blocks: int) -> None:
    assert len(blocks_of(VARIANTS[name])) == blocks


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return read_state_dict(weights_path("efficientnet_lite0"))


def test_the_graph_takes_batches_of_rgb_bytes_and_gives_probabilities(weights: dict[str, np.ndarray]) -> None:
    session = onnxruntime.InferenceSession(build_graph("efficientnet_lite0", weights).SerializeToString())
    [source], [target] = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("images", "tensor(uint8)", ["N", 224, 224, 3])
    assert (target.name, target.type, target.shape) == ("probabilities", "tensor(float)", ["N", 1000])
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    [batch] = session.run(None, {"images": images})
    np.testing.assert_allclose(batch.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(session.run(None, {"images": images[1:]})[0][0], batch[1], atol=1e-5)


def test_the_graph_begins_with_tensorflows_stem(weights: dict[str, np.ndarray]) -> None:
    """One output pixel computed by hand: (x - 127) / 128, padding after, batch normalization, ReLU6."""
    model = build_graph("efficientnet_lite0", weights)
    stem = next(node.output[0] for node in model.graph.node if node.op_type == "Clip")
    model.graph.output.append(onnx.helper.make_tensor_value_info(stem, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3), np.uint8)
    [features] = session.run([stem], {"images": image})
    corner = np.zeros((3, 3, 3))
    corner[:2, :2] = (image[0, 222:, 222:] - 127.0) / 128.0  # the last row and column are padding
    total = np.einsum("oiyx,yxi->o", weights["_conv_stem.weight"], corner)
    deviation = np.sqrt(weights["_bn0.running_var"] + 1e-3)
    expected = weights["_bn0.weight"] * (total - weights["_bn0.running_mean"]) / deviation + weights["_bn0.bias"]
    np.testing.assert_allclose(features[0, :, 111, 111], expected.clip(0, 6), atol=1e-4)


def test_weights_of_another_model_are_refused(weights: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="another model's weights"):
        build_graph("efficientnet_lite2", weights)
