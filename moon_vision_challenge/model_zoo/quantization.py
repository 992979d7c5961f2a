"""float32 → int8: weights signed and per channel, activations unsigned and per tensor, as ONNX QDQ nodes.

The scale of an activation comes from its range, the smallest and largest value seen on photos. The ranges are kept in
ranges/<name>.json, so that a build needs no photos; `python -m moon_vision_challenge.model_zoo.calibrate` writes them.
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


def quantize(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """The int8 model; same inputs, outputs and metadata. Raises KeyError when an activation has no range."""
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
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    del quantized.metadata_props[:]  # the quantizer adds notes to itself
    quantized.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized
