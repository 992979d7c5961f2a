"""Small networks with the inputs and outputs of real exports. Their weights are random, from a fixed seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10

FLOAT, HALF, UINT8, INT64, STRING = (
    *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8),
    *(TensorProto.INT64, TensorProto.STRING),
)


def save_network(
    path: Path,
    shape: Sequence[int | str | None],
    *,
    layout: str = "NCHW",
    dtype: int = FLOAT,
    factor: float = 1.0,
    head: str = "softmax",
    classes: int = CLASSES,
    names: tuple[str, str] = ("images", "output0"),
    properties: dict[str, str] | None = None,
) -> None:
    """Save a network of two convolutions, a mean over the picture, and a head.

    Args:
        shape: the shape of the input, with the batch. A name or None is a free size.
        factor: the factor for the input, so that scores differ whether pixels go to 1 or to 255.
        head: softmax, logits, sigmoid, N11 (scores as N x C x 1 x 1), index, column (index as N x 1), text, both (two
            outputs).
    """
    chance = np.random.default_rng(7)
    channels = {"NCHW": shape[1], "NHWC": shape[-1], "NHW": 1, "flat": 1}[layout]
    count = channels if isinstance(channels, int) else 3
    constants: dict[str, np.ndarray] = {
        "factor": np.array(factor, np.float32),
        "w1": chance.normal(0, 0.4, (8, count, 5, 5)).astype(np.float32),
        "w2": chance.normal(0, 0.3, (16, 8, 3, 3)).astype(np.float32),
        "w3": chance.normal(0, 1.5, (16, classes)).astype(np.float32),
        "b3": chance.normal(0, 0.5, classes).astype(np.float32),
        "labels": np.array([f"text {number}" for number in range(classes)], dtype=object),
        "axis": np.array([1], np.int64),
        "picture": np.array([-1, 1, 28, 28], np.int64),
        "n11": np.array([0, -1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", [names[0]], ["numbers"], to=FLOAT),
        *_to_nchw(layout),
        helper.make_node("Mul", ["nchw", "factor"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1"], ["c1"], strides=[3, 3]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "w3", "b3"], ["z"]),
    ]
    head_nodes, outputs = _head(head, names[1], classes, shape[0], dtype)
    used = {name for node in nodes + head_nodes for name in node.input}
    graph = helper.make_graph(
        nodes + head_nodes,
        "network",
        [helper.make_tensor_value_info(names[0], dtype, list(shape))],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _to_nchw(layout: str) -> list[onnx.NodeProto]:
    return {
        "NCHW": [helper.make_node("Identity", ["numbers"], ["nchw"])],
        "NHWC": [helper.make_node("Transpose", ["numbers"], ["nchw"], perm=[0, 3, 1, 2])],
        "NHW": [helper.make_node("Unsqueeze", ["numbers", "axis"], ["nchw"])],
        "flat": [helper.make_node("Reshape", ["numbers", "picture"], ["nchw"])],
    }[layout]


def _head(head: str, name: str, classes: int, batch: Any, dtype: int) -> tuple[list[onnx.NodeProto], list[Any]]:
    floats = HALF if dtype == HALF else FLOAT
    info = helper.make_tensor_value_info
    make = helper.make_node
    scores = info(name, floats, [batch, classes])
    match head:
        case "softmax":
            return [make("Softmax", ["z"], ["p"]), make("Cast", ["p"], [name], to=floats)], [scores]
        case "logits":
            return [make("Cast", ["z"], [name], to=floats)], [scores]
        case "sigmoid":
            return [make("Sigmoid", ["z"], [name])], [scores]
        case "N11":
            shape = [batch, classes, 1, 1]
            return [make("Softmax", ["z"], ["p"]), make("Reshape", ["p", "n11"], [name])], [info(name, FLOAT, shape)]
        case "index":
            return [make("ArgMax", ["z"], [name], axis=1, keepdims=0)], [info(name, INT64, [batch])]
        case "column":
            return [make("ArgMax", ["z"], [name], axis=1, keepdims=1)], [info(name, INT64, [batch, 1])]
        case "text":
            best = make("ArgMax", ["z"], ["best"], axis=1, keepdims=0)
            return [best, make("Gather", ["labels", "best"], [name])], [info(name, STRING, [batch])]
        case "both":
            features = make("Identity", ["features"], ["embedding"])
            outputs = [info("embedding", FLOAT, [batch, 16]), scores]
            return [features, make("Softmax", ["z"], [name])], outputs
    raise ValueError(head)
