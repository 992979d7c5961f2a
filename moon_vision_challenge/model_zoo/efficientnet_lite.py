"""EfficientNet-Lite as an ONNX graph, from RGB pixels to probabilities.

Sources: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
arXiv:1905.11946 (table 1: the stages; section 3: the scaling); the Lite variants (no squeeze-and-excitation, ReLU6,
stem and head not scaled, first and last stage not repeated more often) from
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, which also gives mean 127 and deviation
128, TensorFlow's 'SAME' padding, and 1e-3 as the epsilon of batch normalisation.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from moon_vision_challenge.model_zoo.variants import VARIANTS, Variant

MEAN_RGB, STDDEV_RGB = 127.0, 128.0
BATCH_NORM_EPSILON = 1e-3
STEM_CHANNELS, HEAD_CHANNELS, CLASSES = 32, 1280, 1000
CHANNEL_DIVISOR = 8  # channel counts are rounded to multiples of it
OPSET, IR_VERSION = 17, 8


class Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Table 1 of the paper, stages 2 to 8 (mobile inverted bottlenecks).
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Block(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


def scale_channels(channels: int, width: float) -> int:
    """Rounds to the nearest multiple of 8, but never takes away more than a tenth."""
    scaled = channels * width
    rounded = max(CHANNEL_DIVISOR, int(scaled + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * scaled else rounded


def blocks_of(variant: Variant) -> list[Block]:
    """The bottlenecks in order. Only the first of a stage strides and changes the number of channels."""
    blocks = []
    channels_in = STEM_CHANNELS
    for index, stage in enumerate(STAGES):
        fixed = index in (0, len(STAGES) - 1)
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        channels = scale_channels(stage.channels, variant.width)
        for repeat in range(repeats):
            blocks.append(Block(stage.kernel, 1 if repeat else stage.stride, stage.expansion, channels_in, channels))
            channels_in = channels
    return blocks


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's 'SAME': (before, after), the odd pixel after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def fold_batch_norm(
    kernel: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (OIHW) and bias (O), float32, of the convolution that equals this one and its batch normalisation."""
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPSILON)
    return (kernel * scale[:, None, None, None]).astype(np.float32), (beta - mean * scale).astype(np.float32)


@dataclass
class _Graph:
    weights: dict[str, np.ndarray]
    size: int  # of the side of the current feature map, pixels
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def convolution(
        self,
        x: str,
        conv: str,
        norm: str,
        shape: tuple[int, int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        relu6: bool = True,
    ) -> str:
        """`shape` is (output channels, input channels of a group, kernel size). Rejects weights of another shape."""
        kernel = self.weights[f"{conv}.weight"]
        if kernel.shape != (*shape, shape[-1]):
            raise ValueError(
                f"{conv} has the shape {kernel.shape}, not {(*shape, shape[-1])}: these are another model's weights"
            )
        parameters = [self.weights[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")]
        folded, bias = fold_batch_norm(kernel, *parameters)
        before, after = same_padding(self.size, shape[-1], stride)
        x = self.add(
            "Conv",
            x,
            self.constant(f"{conv}.kernel", folded),
            self.constant(f"{conv}.bias", bias),
            kernel_shape=[shape[-1]] * 2,
            strides=[stride] * 2,
            pads=[before, before, after, after],
            group=groups,
        )
        self.size = math.ceil(self.size / stride)
        return self.add("Clip", x, "zero", "six") if relu6 else x

    def bottleneck(self, x: str, prefix: str, block: Block) -> str:
        wide = block.channels_in * block.expansion
        y = x
        if block.expansion != 1:
            y = self.convolution(y, f"{prefix}._expand_conv", f"{prefix}._bn0", (wide, block.channels_in, 1))
        depthwise = (wide, 1, block.kernel)
        y = self.convolution(
            y, f"{prefix}._depthwise_conv", f"{prefix}._bn1", depthwise, stride=block.stride, groups=wide
        )
        projection = (block.channels_out, wide, 1)
        y = self.convolution(y, f"{prefix}._project_conv", f"{prefix}._bn2", projection, relu6=False)
        same = block.stride == 1 and block.channels_in == block.channels_out
        return self.add("Add", y, x) if same else y


def build_graph(name: str, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The model `name` of VARIANTS with these weights (names as in the state dictionary of the published packages).

    Input `images`: uint8 [N, size, size, 3], RGB. Output `probabilities`: float32 [N, 1000], ImageNet's classes in the
    usual order. The metadata property `serving_signatures` declares the signature `raw` to the model server (see
    model_server.onnx_runtime). Raises KeyError or ValueError when the weights are not this model's.
    """
    variant = VARIANTS[name]
    graph = _Graph(weights, variant.image_size)
    graph.constant("mean", np.array(MEAN_RGB, np.float32))
    graph.constant("inverse_stddev", np.array(1 / STDDEV_RGB, np.float32))
    graph.constant("zero", np.array(0, np.float32))
    graph.constant("six", np.array(6, np.float32))

    x = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Mul", graph.add("Sub", x, "mean"), "inverse_stddev")
    x = graph.convolution(x, "_conv_stem", "_bn0", (STEM_CHANNELS, 3, 3), stride=2)
    blocks = blocks_of(variant)
    for index, block in enumerate(blocks):
        x = graph.bottleneck(x, f"_blocks.{index}", block)
    x = graph.convolution(x, "_conv_head", "_bn1", (HEAD_CHANNELS, blocks[-1].channels_out, 1))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add(
        "Gemm",
        x,
        graph.constant("_fc.weight", weights["_fc.weight"]),
        graph.constant("_fc.bias", weights["_fc.bias"]),
        transB=1,
    )
    graph.add("Softmax", x, output="probabilities", axis=1)

    shape: list[str | int] = ["N", variant.image_size, variant.image_size, 3]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    signatures = {
        "raw": {
            "inputs": {"images": {"tensor": "images", "encoding": "raw"}},
            "outputs": {"probabilities": "probabilities"},
        }
    }
    helper.set_model_props(model, {"serving_signatures": json.dumps(signatures)})
    onnx.checker.check_model(model, full_check=True)
    return model
