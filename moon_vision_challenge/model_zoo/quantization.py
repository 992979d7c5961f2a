"""float32 → int8: weights signed and per channel, activations unsigned and per tensor, as ONNX QDQ nodes.

The scale of an activation comes from its range, the smallest and largest value seen on photos. The ranges are stored in
ranges/<name>.json, so that a build needs no photos. `python -m moon_vision_challenge.model_zoo.calibrate` writes them.

The scale of a channel of weights is chosen so that the model gives the same scores on every CPU. Without VNNI, x86 adds
two neighbouring products of an activation and a weight in 16 bits (VPMADDUBSW) and cuts off what does not fit: with
weights up to 127, top-1 falls from 90 to 86 of a hundred photos. onnxruntime's remedy is 7 bits for all weights
(`reduce_range`, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html), which costs as much.
Only pairs of large weights overflow, so here only a channel that has such a pair gets a wider scale: 90 of 100 again.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData

Ranges = Mapping[str, tuple[float, float]]
"""Tensor of the float32 graph → its smallest and largest value."""

# What onnxruntime runs in int8 on a CPU. The rest, pixels → [-1, 1] and Softmax, stays float32.
OPERATORS = ("Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm")


def quantized_tensors(model: onnx.ModelProto) -> list[str]:
    """The activations that need a range: inputs and outputs of OPERATORS that are not constants."""
    constants = {constant.name for constant in model.graph.initializer}
    names = [
        name for node in model.graph.node if node.op_type in OPERATORS for name in (*node.input[:1], *node.output)
    ] + [name for node in model.graph.node if node.op_type == "Add" for name in node.input]
    return [name for name in dict.fromkeys(names) if name not in constants]


def read_ranges(path: Path) -> Ranges:
    """The ranges in a file that `calibrate` wrote. Raises OSError."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {tensor: (low, high) for tensor, (low, high) in content["ranges"].items()}


def weight_limits(weights: np.ndarray) -> np.ndarray:
    """The weight of each output channel that becomes 127, so that no two neighbours add up to more than 128.

    255 · 128, the largest activation times that, fits in 16 bits. The 1 between is for both being rounded up.

    Takes the weights of a Conv, float32 [outputs, inputs, height, width], or of a Gemm with transB, float32
    [outputs, inputs]; gives float32 [outputs]. Neighbours are the inputs 2n and 2n+1. Where the kernel is larger than
    one pixel, the order in memory is onnxruntime's own: there any two weights are taken for neighbours.
    """
    channels = weights.reshape(len(weights), -1)
    positive, negative = np.maximum(channels, 0), np.maximum(-channels, 0)
    if channels.shape[1] != weights.shape[1]:
        positive, negative = (np.sort(sign)[:, -2:] for sign in (positive, negative))
    odd = positive.shape[1] % 2
    pairs = np.pad(np.stack([positive, negative], axis=1), ((0, 0), (0, 0), (0, odd)))
    sums = pairs.reshape(len(weights), -1, 2).sum(axis=2)
    limits: np.ndarray = np.maximum(np.abs(channels).max(axis=1), sums.max(axis=1))
    return limits


def quantize(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """The int8 model, with the same inputs, outputs and metadata. Raises KeyError if an activation has no range."""
    weights = {constant.name: constant for constant in model.graph.initializer}
    scales = {
        node.input[1]: _channel_ranges(onnx.numpy_helper.to_array(weights[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "Gemm" or (node.op_type == "Conv" and _groups(node) == 1)
    }
    limits = {name: tuple(np.array(limit, np.float32) for limit in ranges[name]) for name in quantized_tensors(model)}
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[],  # all of the operators
        nodes_to_exclude=[],
        op_types_to_quantize=list(OPERATORS),
        extra_options={"TensorQuantOverrides": scales},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    del quantized.metadata_props[:]  # the quantizer adds notes to itself
    quantized.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def _channel_ranges(weights: np.ndarray) -> list[dict[str, object]]:
    """One entry per channel, in the form of onnxruntime's TensorQuantOverrides."""
    ranges: list[dict[str, object]] = [
        {"quant_type": QuantType.QInt8, "symmetric": True, "rmin": -limit, "rmax": limit}
        for limit in weight_limits(weights)
    ]
    ranges[0]["axis"] = 0
    return ranges


def _groups(convolution: onnx.NodeProto) -> int:
    """More than one is a depthwise convolution here: its products are added in 32 bits, and no pair overflows."""
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)
