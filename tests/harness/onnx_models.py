"""Small models in ONNX, built by hand: harmless ones, and parts of harmful ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from engine.model.files import ARRAYS, MANIFEST, ModelFiles
from engine.model.store import Model
from engine.training.onnx_import.convert import Description, import_onnx

DATA = Path(__file__).parents[1] / "data"
EXPORTED = DATA / "onnx" / "mlp.onnx"
"""Of scikit-learn, by skl2onnx: it has probabilities, and a label that needs operators which are refused."""
EXPORTED_BY_JAX = DATA / "onnx" / "cnn.onnx"
"""It has convolutions, and scores."""
DIGITS = sorted((DATA / "digits").glob("*.png"))
WEIGHTS: NDArray[np.float32] = np.random.default_rng(1).normal(0, 0.1, (28 * 28, 10)).astype(np.float32)


def answers(exported: Path) -> dict[str, list[float]]:
    """Give the probabilities that the framework itself computed, by the sample's name."""
    found: dict[str, list[float]] = json.loads(exported.with_suffix(".json").read_text(encoding="ascii"))
    return found


def network(
    nodes: Sequence[NodeProto] | None = None,
    weights: dict[str, NDArray[Any]] | None = None,
    *,
    sizes: Sequence[int | str] = ("n", 28 * 28),
    dtype: int = TensorProto.FLOAT,
) -> ModelProto:
    """Build a model from ``x`` to ``y``; by default one product with `WEIGHTS`, whose scores are not probabilities."""
    if nodes is None:
        nodes = [make_node("MatMul", ["x", "w"], ["y"])]
    graph = make_graph(
        nodes,
        "network",
        [make_tensor_value_info("x", dtype, sizes)],
        [make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [from_array(values, name) for name, values in ({"w": WEIGHTS} if weights is None else weights).items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def convolving(sizes: Sequence[int | str] = ("n", 1, 28, 28)) -> ModelProto:
    """Build a small network with convolutions, which flattens as exporters of PyTorch write it."""
    random = np.random.default_rng(2)
    weights: dict[str, NDArray[Any]] = {
        "filters": random.normal(0, 0.3, (4, 1, 5, 5)).astype(np.float32),
        "bias": random.normal(0, 0.3, 4).astype(np.float32),
        "dense": random.normal(0, 0.1, (10, 4 * 12 * 12)).astype(np.float32),
        "zero": np.array(0, np.int64),
        "minus one": np.array([-1], np.int64),
        "first": np.array([0], np.int64),
    }
    nodes = [
        make_node("Conv", ["x", "filters", "bias"], ["c"], kernel_shape=[5, 5]),
        make_node("Relu", ["c"], ["r"]),
        make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Shape", ["p"], ["s"]),
        make_node("Gather", ["s", "zero"], ["count"], axis=0),
        make_node("Unsqueeze", ["count", "first"], ["counts"]),
        make_node("Concat", ["counts", "minus one"], ["flat sizes"], axis=0),
        make_node("Reshape", ["p", "flat sizes"], ["f"]),
        make_node("Gemm", ["f", "dense"], ["y"], transB=1),
    ]
    return network(nodes, weights, sizes=sizes)


def imported(model: ModelProto | bytes, folder: Path, **described: Any) -> Model:
    """Import a model into ``folder/model``."""
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return import_onnx(path, folder / "model", Description("mine", "1", **described))


def replaced(folder: Path, content: bytes) -> None:
    """Put another file in ONNX into an imported model, with the right checksum, as an attacker would."""
    with np.load(folder / ARRAYS) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["onnx"] = np.frombuffer(content, np.uint8)
    np.savez_compressed(folder / ARRAYS, **arrays)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def foreign_operator_model(folder: Path) -> ModelFiles:
    """Make a model folder, and put a file with an operator that is not allowed into it."""
    folder.mkdir(parents=True, exist_ok=True)
    harmless = network()
    imported(harmless, folder)
    harmless.graph.node[0].output[0] = "z"
    harmless.graph.node.add().CopyFrom(make_node("NonZero", ["z"], ["y"]))
    replaced(folder / "model", harmless.SerializeToString())
    return ModelFiles.read(folder / "model")
