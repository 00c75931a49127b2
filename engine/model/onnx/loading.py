"""Checks a file in ONNX and opens it; this needs the extra `onnx`.

parse     within a limit of memory
graph     parts, operators, weights
sizes     of all results, for as many pictures as are read at once
session   onnxruntime prepares it, and reads once within a limit of memory
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from engine.model.onnx.graph import check_graph, input_of, parse, shown
from engine.model.onnx.session import COPIES, LOADING_BYTES, RUNNING_BYTES, Run, limited_memory, open_session
from engine.model.onnx.shapes import check_sizes, declared_input
from engine.model.svm import DIGITS

_DTYPES: Final = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is known about a file that has been checked, and what runs it."""

    run: Run
    sizes: tuple[int, ...]
    """Of one picture in the input."""
    dtype: str
    at_once: int
    is_padded: bool


def load(content: bytes, output: str) -> Loaded:
    """Check a file and open it.

    Raises
    ------
    ValueError
        It is refused; the message says why.
    """
    with limited_memory(LOADING_BYTES + COPIES * len(content)):
        model = parse(content)
        check_graph(model)
        given = input_of(model.graph)
        dtype = _DTYPES.get(given.type.tensor_type.elem_type)
        if dtype is None:
            raise ValueError(f"the input {shown(given.name)} must hold {', '.join(_DTYPES.values())}")
        if output not in {value.name for value in model.graph.output}:
            raise ValueError(f"it has no output {shown(output)}")
        fixed, sizes = declared_input(model)
        at_once = check_sizes(model, output, DIGITS)
        run = open_session(content, given.name, output)
        _try(run, np.zeros((at_once, *sizes), dtype))
    return Loaded(run, sizes, dtype, at_once, is_padded=fixed is not None)


def _try(run: Run, blank: NDArray[Any]) -> None:
    """Read blank pictures: results that are in memory at the same time, and memory within an operator, add up."""
    try:
        with limited_memory(RUNNING_BYTES):
            run(blank)
    except Exception as error:
        reason = shown(" ".join(str(error).split()))
        raise ValueError(
            f"it cannot read {len(blank)} pictures at once within {RUNNING_BYTES:,} bytes of memory: {reason}"
        ) from error
