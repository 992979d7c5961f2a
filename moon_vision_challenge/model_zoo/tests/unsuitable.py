"""Valid models that are not image classifiers, or only with more options. Each function saves one into a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from moon_vision_challenge.model_io.tests.networks import save_network
from moon_vision_challenge.model_zoo.tests.adding import NCHW


def returning(name: str, **shapes: list[int]) -> Callable[[Path], None]:
    """Return a function that saves a model of a picture of 64 x 64 whose outputs are zeros of these shapes."""

    def save(place: Path) -> None:
        zeros = [
            helper.make_node("Constant", [], [f"{output}_zeros"], value=numpy_helper.from_array(np.zeros(shape, "f")))
            for output, shape in shapes.items()
        ]
        sums = [helper.make_node("Add", [f"{output}_zeros", "zero"], [output]) for output in shapes]
        nodes = [helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0), *zeros]
        nodes += [helper.make_node("Sub", ["sum", "sum"], ["zero"]), *sums]
        image = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
        infos = [helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, shape) for one, shape in shapes.items()]
        graph = helper.make_graph(nodes, "g", [image], infos)
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), place / f"{name}.onnx")

    save.__name__ = name
    return save


def selecting_boxes(place: Path) -> None:
    returning("nms", selected=[1, 3])(place)
    model = onnx.load(place / "nms.onnx")
    boxes = [helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.zeros((1, 5, 4), "f")))]
    boxes += [helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.zeros((1, 2, 5), "f")))]
    boxes += [helper.make_node("NonMaxSuppression", ["b", "s"], ["chosen"])]
    branch = helper.make_graph(
        boxes, "then", [], [helper.make_tensor_value_info("chosen", onnx.TensorProto.INT64, None)]
    )
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.ones((), bool)))
    model.graph.node.extend([yes, helper.make_node("If", ["yes"], ["any"], then_branch=branch, else_branch=branch)])
    onnx.save(model, place / "nms.onnx")


def without_batch(place: Path) -> None:
    """Save what torch.onnx.export makes of a module that takes one picture: [3, 64, 64] to [7]."""
    returning("single", scores=[7])(place)
    model = onnx.load(place / "single.onnx")
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    onnx.save(model, place / "single.onnx")


def integers(place: Path) -> None:
    save_network(place / "int8.onnx", NCHW, dtype=onnx.TensorProto.INT8)


def integer_scores(place: Path) -> None:
    save_network(place / "quantized.onnx", NCHW, dtype=onnx.TensorProto.UINT8)
    model = onnx.load(place / "quantized.onnx")
    model.graph.node.append(helper.make_node("Cast", ["output0"], ["scores"], to=onnx.TensorProto.INT8))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", onnx.TensorProto.INT8, ["N", 10]))
    onnx.save(model, place / "quantized.onnx")


def vector(place: Path) -> None:
    save_network(place / "vector.onnx", ["N", 784], layout="flat")
