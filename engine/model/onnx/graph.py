"""Checks of a model in ONNX that need no shapes: its parts, operators and numbers. Nothing of it runs here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.numpy_helper import to_array

from engine.model.onnx.operators import ALLOWED
from release.printable import printable

MODEL_BYTES: Final = 64 * 1024 * 1024
"""Of the file, and of all numbers in it."""
NODES: Final = 1_000

_DOMAINS: Final = ("", "ai.onnx")  # two names of one
_NAMED: Final = 5  # operators in one message
_WITHOUT_TRAINING: Final = 2  # inputs of Dropout: the values, and the ratio
NUMBERS: Final = frozenset(
    {
        *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL),
        *(TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8),
    }
)
"""The types of numbers that weights and results may have."""


def parse(content: bytes) -> ModelProto:
    """Parse a file and check its parts.

    Raises
    ------
    ValueError
        It is no model in ONNX, or has a part that is refused; the message names it.
    """
    if len(content) > MODEL_BYTES:
        raise ValueError(f"it has {len(content):,} bytes; the most is {MODEL_BYTES:,}")
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        raise ValueError("it is not a model in ONNX, is cut off, or takes too much memory") from error
    if not model.graph.node:
        raise ValueError("it is not a model in ONNX: it has no operators")
    return model


def check_graph(model: ModelProto) -> None:
    """Check operators and numbers.

    Raises
    ------
    ValueError
        One is refused; the message names it.
    """
    if len(model.graph.node) > NODES:
        raise ValueError(f"it has {len(model.graph.node):,} operators; the most is {NODES:,}")
    if model.functions:
        name = shown(model.functions[0].name)
        raise ValueError(f"it defines operators of its own, such as {name}: export them inlined")
    if model.training_info:
        raise ValueError("it has a part for training: export it for inference")
    if model.graph.sparse_initializer:
        raise ValueError("it has sparse weights: export them as dense ones")
    _check_operators(model.graph)
    for node in model.graph.node:
        if node.op_type == "Dropout" and len(node.input) > _WITHOUT_TRAINING:
            raise ValueError("Dropout has an input that switches to training: export the model for inference")
        for attribute in node.attribute:
            _check_attribute(node, attribute)
    _check_numbers(model.graph)


def input_of(graph: GraphProto) -> ValueInfoProto:
    """Return the one input that is not a weight.

    Raises
    ------
    ValueError
        There is another number of inputs.
    """
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(shown(value.name) for value in inputs[:_NAMED])
        raise ValueError(f"it has {len(inputs)} inputs ({names}); it must have one, the picture")
    return inputs[0]


def operator(node: NodeProto) -> str:
    """Return the operator's name, with the domain if it is not ONNX's own."""
    return node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}"


def shown(name: str) -> str:
    """Return a name from the file so that it can be printed."""
    return printable(name)[:100]


def _check_operators(graph: GraphProto) -> None:
    refused = sorted({operator(node) for node in graph.node} - ALLOWED)
    if refused:
        names = ", ".join(map(shown, refused[:_NAMED])) + (", …" if len(refused) > _NAMED else "")
        raise ValueError(f"it has operators that are not allowed: {names}")


def _check_attribute(node: NodeProto, attribute: AttributeProto) -> None:
    """Look at what the attribute holds, not at its type, which may say something else."""
    where = f"{shown(node.op_type)} has an attribute {shown(attribute.name)}"
    if attribute.HasField("g") or attribute.graphs:
        raise ValueError(f"{where} with a graph of its own")
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        raise ValueError(f"{where} with sparse numbers")
    if not all(map(math.isfinite, (attribute.f, *attribute.floats))):
        raise ValueError(f"{where} with a value that is not finite")


def _check_numbers(graph: GraphProto) -> None:
    """Check all weights and constants: their declared sizes first, before any is unpacked."""
    declared_bytes = 0
    for tensor in _tensors(graph):
        name = f"the weight {shown(tensor.name)}"
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(f"{name} refers to external data, in another file: export it into one file")
        if tensor.data_type not in NUMBERS:
            raise ValueError(f"{name} has the type {tensor.data_type} of ONNX, which is not allowed")
        if tensor.HasField("segment") or min(tensor.dims, default=0) < 0:
            raise ValueError(f"{name} has a size that is not allowed")
        declared_bytes += math.prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if declared_bytes > MODEL_BYTES:
            raise ValueError(f"{name} makes the weights larger than {MODEL_BYTES:,} bytes, the most")
    for tensor in _tensors(graph):
        name = f"the weight {shown(tensor.name)}"
        try:
            values = to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name} does not hold the {math.prod(tensor.dims):,} numbers that it declares") from error
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has a value that is not finite")


def _tensors(graph: GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
