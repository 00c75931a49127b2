"""Cuts a file in ONNX to the one output that is read: exporters add labels and more, by operators that are refused."""

from __future__ import annotations

from onnx import GraphProto, ModelProto, TensorProto

from engine.model.onnx.graph import parse, shown

_NUMBERS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def pruned(content: bytes, output: str | None) -> tuple[ModelProto, str]:
    """Return the model with only what the output needs, and the output's name.

    Parameters
    ----------
    content
        Of the file.
    output
        The name; None for the only output that holds decimal numbers.

    Raises
    ------
    ValueError
        It is no model in ONNX, or the output is not there or not clear.
    """
    model = parse(content)
    chosen = _output(model.graph, output)
    _keep(model.graph, chosen)
    return model, chosen


def _output(graph: GraphProto, name: str | None) -> str:
    known = [value.name for value in graph.output]
    if name is None:
        numbers = [value.name for value in graph.output if value.type.tensor_type.elem_type in _NUMBERS]
        if len(numbers) == 1:
            return str(numbers[0])
        raise ValueError(
            f"it has {len(numbers)} outputs of decimal numbers: choose one by --output, of {_listed(known)}"
        )
    if name not in known:
        raise ValueError(f"it has no output {shown(name)}, but {_listed(known)}")
    return name


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names)) or "none"


def _keep(graph: GraphProto, output: str) -> None:
    """Remove all operators, weights and outputs that this output does not need."""
    needed, kept = {output}, []
    for node in reversed(graph.node):  # an operator comes after those whose results it takes
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    kept.reverse()
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    outputs = [value for value in graph.output if value.name == output]
    for field, values in (("node", kept), ("initializer", weights), ("output", outputs)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)
    del graph.value_info[:]
