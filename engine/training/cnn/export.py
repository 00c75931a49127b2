"""Writes the network as a file in ONNX, from its weights alone."""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto
from onnx.checker import check_model
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from engine.model.hog import SIDE_PX
from engine.model.svm import DIGITS
from engine.training.cnn.shape import POOL_PX, Shape, Weights

OUTPUT: Final = "scores"
_INPUT: Final = "digits"
_OPSET, _FORMAT = 17, 8  # of 2022: later ones bring nothing that this network needs


def to_onnx(weights: Weights, shape: Shape) -> bytes:
    """Return the file.

    Parameters
    ----------
    weights
        As `engine.training.cnn.network.folded` returns them.
    shape
        Of the network that they belong to.
    """
    nodes: list[NodeProto] = []

    def add(operator: str, *inputs: str, **attributes: list[int]) -> str:
        name = f"{operator}{len(nodes)}"
        nodes.append(make_node(operator, inputs, [name], **attributes))
        return name

    flow, number = _INPUT, 0
    for block in shape.blocks:
        for side, _ in block:
            sizes = {"kernel_shape": [side, side], "pads": [side // 2] * 4}
            flow = add("Relu", add("Conv", flow, f"kernel{number}", f"bias{number}", **sizes))
            number += 1
        flow = add("MaxPool", flow, kernel_shape=[POOL_PX, POOL_PX], strides=[POOL_PX, POOL_PX])
    flow = add("Relu", add("Gemm", add("Flatten", flow), "hidden", "hidden_bias"))
    nodes.append(make_node("Gemm", [flow, "output", "output_bias"], [OUTPUT]))
    graph = make_graph(
        nodes,
        "digits",
        [make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["n", 1, SIDE_PX, SIDE_PX])],
        [make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", DIGITS])],
        [from_array(_in_order(name, array), name) for name, array in weights.items()],
    )
    model: ModelProto = make_model(
        graph, opset_imports=[make_opsetid("", _OPSET)], ir_version=_FORMAT, producer_name="digitstream"
    )
    check_model(model)
    return bytes(model.SerializeToString())


def _in_order(name: str, array: np.ndarray) -> np.ndarray:
    """Put a kernel's axes into ONNX's order: to, from, height, width."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if name.startswith("kernel") else array, np.float32)
