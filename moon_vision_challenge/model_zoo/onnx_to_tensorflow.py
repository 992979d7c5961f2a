"""Turns EfficientNet-Lite's ONNX graph into a TensorFlow function, so that both share one description of the network.

TensorFlow's convolutions on a CPU need channels last, which is how the images arrive. This code therefore omits the
graph's first transposition, and uses the last axis for the graph's axis 1. The padding is TensorFlow's 'SAME' already.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper


def _channels_last(value: np.ndarray) -> np.ndarray:
    """Transpose kernels [out, in, height, width] to TensorFlow's order: in and out last, or out and in if depthwise."""
    if value.ndim != 4:
        return value
    depthwise = value.shape[1] == 1
    return value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def _convolution(attributes: dict[str, Any], x: Any, kernel: Any, bias: Any) -> Any:
    height, width = attributes["strides"]
    convolve = tf.nn.conv2d if attributes["group"] == 1 else tf.nn.depthwise_conv2d
    return convolve(x, kernel, (1, height, width, 1), "SAME") + bias


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Transpose": lambda _, x: x,
    "Cast": lambda _, x: tf.cast(x, tf.float32),
    "Sub": lambda _, x, y: x - y,
    "Mul": lambda _, x, y: x * y,
    "Add": lambda _, x, y: x + y,
    "Conv": _convolution,
    "Clip": lambda _, x, low, high: tf.clip_by_value(x, low, high),
    "GlobalAveragePool": lambda _, x: tf.reduce_mean(x, axis=(1, 2)),
    "Flatten": lambda _, x: x,
    "Gemm": lambda _, x, weight, bias: tf.matmul(x, weight, transpose_b=True) + bias,
    "Softmax": lambda _, x: tf.nn.softmax(x),
}


class TensorFlowGraph(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A callable that accepts uint8 [N, size, size, 3] and returns the probabilities [N, 1000]."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self._graph = model.graph
        self._constants = {
            constant.name: tf.Variable(_channels_last(numpy_helper.to_array(constant)), trainable=False)
            for constant in model.graph.initializer
        }

    def __call__(self, images: Any) -> Any:
        values = {**self._constants, "images": images}
        for node in self._graph.node:
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            values[node.output[0]] = _OPERATORS[node.op_type](attributes, *(values[name] for name in node.input))
        return values["probabilities"]
