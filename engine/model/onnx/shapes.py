"""Computes all sizes of a model in ONNX before it runs, and refuses one that takes too much memory or time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from onnx import ModelProto, NodeProto, TensorShapeProto, TypeProto
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.shape_inference import InferenceError, infer_shapes

from engine.model.onnx.graph import NUMBERS, input_of, operator, shown

VALUE_BYTES: Final = 16 * 1024 * 1024
"""Of each result between two operators, for all pictures that are read at once."""
PRODUCTS: Final = 200_000_000
"""Multiplications for one picture: on one core up to some seconds."""
AT_ONCE: Final = 32
"""Pictures that are read at once, at most: more are not faster."""

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def declared_input(model: ModelProto) -> tuple[int | None, Shape]:
    """Return how many pictures the model reads at once (None: any number), and the sizes of one picture.

    Raises
    ------
    ValueError
        A size is missing.
    """
    value = input_of(model.graph)
    dims = value.type.tensor_type.shape.dim
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if len(sizes) < 2 or any(size is None or size < 1 for size in sizes[1:]) or (sizes[0] or 1) < 1:  # noqa: PLR2004  # pictures, and what they consist of
        raise ValueError(
            f"the input {shown(value.name)} has the sizes {['?' if size is None else size for size in sizes]}: all but "
            "the first, the number of pictures, must be fixed when it is exported"
        )
    return sizes[0], tuple(size for size in sizes[1:] if size is not None)


def check_sizes(model: ModelProto, output: str, classes: int) -> int:
    """Check the sizes of all results, and return how many pictures to read at once.

    Raises
    ------
    ValueError
        A size is unknown before the model runs, or too large; or the output is not (pictures, classes).
    """
    fixed, _ = declared_input(model)
    if fixed is not None and fixed > AT_ONCE:
        raise ValueError(f"it reads {fixed} pictures at once; the most is {AT_ONCE}")
    at_once = fixed or 1
    shapes, largest = _sizes(model, at_once)
    if fixed is None:
        at_once = max(1, min(AT_ONCE, VALUE_BYTES // largest))
        shapes, largest = _sizes(model, at_once)
    if shapes.get(output) != (at_once, classes):
        raise ValueError(
            f"for {at_once} pictures the output {shown(output)} has the sizes {list(shapes.get(output, ()))}; "
            f"{[at_once, classes]} are needed"
        )
    products = sum(_products(node, shapes) for node in model.graph.node) // at_once
    if products > PRODUCTS:
        raise ValueError(f"it needs {products:,} multiplications for one picture; the most is {PRODUCTS:,}")
    return at_once


def _sizes(model: ModelProto, pictures: int) -> tuple[Shapes, int]:
    """Infer the sizes of all results for a number of pictures; return also the bytes of the largest."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    input_of(graph).type.tensor_type.shape.dim[0].dim_value = pictures
    del graph.value_info[:]  # what the file says about sizes is not believed
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = infer_shapes(copy, check_type=True, strict_mode=True, data_prop=True).graph
    except (InferenceError, ValueError, RuntimeError) as error:
        reason = shown(" ".join(str(error).split()))
        raise ValueError(f"its sizes do not fit together for {pictures} pictures: {reason}") from error
    values = [*inferred.value_info, *inferred.output]
    types = {value.name: value.type.tensor_type for value in values if value.type.HasField("tensor_type")}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes[input_of(graph).name] = tuple(dim.dim_value for dim in input_of(graph).type.tensor_type.shape.dim)
    largest = 1
    for node in graph.node:
        for name in filter(None, node.output):
            shapes[name], size_bytes = _size(types.get(name), f"{operator(node)} {shown(name)}")
            largest = max(largest, size_bytes)
    return shapes, largest


def _size(of: TypeProto.Tensor | None, name: str) -> tuple[Shape, int]:
    """Return the sizes and the bytes of a result."""
    if of is None or not of.HasField("shape") or not all(map(_is_known, of.shape.dim)):
        raise ValueError(f"the size of the result of {name} is not known before it runs")
    if of.elem_type not in NUMBERS:
        raise ValueError(f"the result of {name} has the type {of.elem_type} of ONNX, which is not allowed")
    shape = tuple(dim.dim_value for dim in of.shape.dim)
    size_bytes = math.prod(shape) * tensor_dtype_to_np_dtype(of.elem_type).itemsize
    if size_bytes > VALUE_BYTES:
        raise ValueError(f"the result of {name} has {size_bytes:,} bytes; the most is {VALUE_BYTES:,}")
    return shape, size_bytes


def _is_known(dim: TensorShapeProto.Dimension) -> bool:
    return bool(dim.HasField("dim_value") and dim.dim_value >= 0)


def _products(node: NodeProto, shapes: Shapes) -> int:
    """Count the multiplications of a product, or the values that a pool compares."""
    size = math.prod(shapes[node.output[0]])
    attributes = {attribute.name: attribute for attribute in node.attribute}
    match node.op_type:
        case "Conv":
            factor = math.prod(shapes[node.input[1]][1:])
        case "MatMul":
            factor = shapes[node.input[0]][-1]
        case "Gemm":
            factor = shapes[node.input[0]][0 if "transA" in attributes and attributes["transA"].i else 1]
        case "MaxPool" | "AveragePool":
            factor = math.prod(attributes["kernel_shape"].ints)
        case _:
            factor = 1
    return size * max(factor, 1)  # a pool may declare a negative side
