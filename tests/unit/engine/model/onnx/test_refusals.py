"""Files in ONNX that could do harm are refused, and the message names what is wrong with them."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_function, make_graph, make_node, make_opsetid, make_tensor, make_tensor_value_info
from onnx.numpy_helper import from_array

from engine.model import store
from engine.model.files import ARRAYS, ModelError
from engine.model.onnx import graph, loading, shapes
from engine.training.onnx_import.convert import OnnxError
from tests.harness.onnx_models import WEIGHTS, imported, network, replaced

Harm = Callable[[ModelProto], None]


def with_operator(op_type: str, domain: str = "") -> Harm:
    def harm(model: ModelProto) -> None:
        model.graph.node[0].output[0] = "z"
        model.graph.node.add().CopyFrom(make_node(op_type, ["z"], ["y"], domain=domain))
        model.opset_import.append(make_opsetid(domain or "other", 1))

    return harm


def with_a_loop(model: ModelProto) -> None:
    body = make_graph([make_node("Identity", ["c"], ["d"])], "body", [], [])
    model.graph.node[0].output[0] = "z"
    model.graph.node.add().CopyFrom(make_node("Loop", ["", "", "z"], ["y"], body=body))


def with_a_hidden_graph(model: ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add()
    attribute.name = "hidden"
    attribute.g.CopyFrom(make_graph([], "hidden", [], []))  # its type says nothing of it


def with_external_weights(model: ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def with_an_external_constant(model: ModelProto) -> None:
    constant = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    model.graph.node.add().CopyFrom(make_node("Constant", [], ["c"], value=constant))


def with_a_huge_weight(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**20]


def with_missing_numbers(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"\0" * 8


def with_weight(values: float) -> Harm:
    def harm(model: ModelProto) -> None:
        weights = WEIGHTS.copy()
        weights[700, 3] = values
        model.graph.initializer[0].CopyFrom(from_array(weights, "w"))

    return harm


def with_an_infinite_attribute(model: ModelProto) -> None:
    model.graph.node[0].output[0] = "z"
    model.graph.node.add().CopyFrom(make_node("LeakyRelu", ["z"], ["y"], alpha=float("inf")))


def with_text(model: ModelProto) -> None:
    model.graph.initializer.append(make_tensor("t", TensorProto.STRING, [1], [b"text"]))


def with_sparse_weights(model: ModelProto) -> None:
    model.graph.sparse_initializer.add()


def with_a_function(model: ModelProto) -> None:
    nodes = [make_node("Identity", ["a"], ["b"])]
    model.functions.append(make_function("own", "Bomb", ["a"], ["b"], nodes, [make_opsetid("", 17)]))


def with_training(model: ModelProto) -> None:
    model.training_info.add()


def with_dropout_in_training(model: ModelProto) -> None:
    model.graph.node[0].output[0] = "z"
    model.graph.node.add().CopyFrom(make_node("Dropout", ["z", "", "always"], ["y"]))
    model.graph.initializer.append(from_array(np.array(True), "always"))


def with_many_operators(model: ModelProto) -> None:
    for _ in range(graph.NODES):
        model.graph.node.add().CopyFrom(make_node("Identity", ["x"], [""]))


def with_an_expansion(model: ModelProto) -> None:
    model.graph.node[0].output[0] = "z"
    model.graph.initializer.append(from_array(np.array([2**20, 1, 10]), "sizes"))
    model.graph.node.add().CopyFrom(make_node("Expand", ["z", "sizes"], ["y"]))


def with_sizes_from_the_picture(model: ModelProto) -> None:
    model.graph.node[0].output[0] = "z"
    nodes = [
        make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        make_node("Reshape", ["i", "minus one"], ["s"]),
        make_node("Expand", ["z", "s"], ["y"]),
    ]
    model.graph.initializer.append(from_array(np.array([-1]), "minus one"))
    model.graph.node.extend(nodes)


def with_much_work(model: ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(from_array(np.ones((28 * 28, 1), np.float32), "w"))
    model.graph.initializer.append(from_array(np.zeros((1, 2_000), np.float32), "row"))
    model.graph.initializer.append(from_array(np.zeros((2_000, 2_000), np.float32), "square"))
    model.graph.initializer.append(from_array(np.zeros((2_000, 10), np.float32), "last"))
    model.graph.node[0].output[0] = "a0"
    model.graph.node.append(make_node("MatMul", ["a0", "row"], ["b0"]))
    for i in range(60):
        model.graph.node.append(make_node("MatMul", [f"b{i}", "square"], [f"b{i + 1}"]))
    model.graph.node.append(make_node("MatMul", ["b60", "last"], ["y"]))


def with_two_pictures(model: ModelProto) -> None:
    model.graph.input.append(make_tensor_value_info("other", TensorProto.FLOAT, [1]))


def with_an_open_size(model: ModelProto) -> None:
    model.graph.input[0].CopyFrom(make_tensor_value_info("x", TensorProto.FLOAT, ["n", "pixels"]))


def with_a_picture_that_is_no_square(model: ModelProto) -> None:
    model.graph.input[0].CopyFrom(make_tensor_value_info("x", TensorProto.FLOAT, ["n", 783]))
    model.graph.initializer[0].CopyFrom(from_array(WEIGHTS[:783], "w"))


def with_eleven_classes(model: ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(from_array(np.zeros((784, 11), np.float32), "w"))


def with_weights_that_do_not_fit(model: ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(from_array(WEIGHTS[:700], "w"))


def with_lies_about_sizes(model: ModelProto) -> None:
    """Claim small sizes where the results are large."""
    with_an_expansion(model)
    model.graph.output[0].CopyFrom(make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10]))
    model.graph.value_info.append(make_tensor_value_info("z", TensorProto.FLOAT, [1, 10]))


HARMFUL: list[tuple[Harm, str]] = [
    (with_operator("NonZero"), "operators that are not allowed: NonZero"),
    (with_operator("RandomNormalLike"), "operators that are not allowed: RandomNormalLike"),
    (with_operator("Inverse", "com.microsoft"), r"not allowed: com\.microsoft\.Inverse"),
    (with_operator("MatMul", "evil"), r"not allowed: evil\.MatMul"),
    (with_operator("\x1b[31mMatMul"), r"not allowed: \\x1b\[31mMatMul"),
    (with_a_loop, "operators that are not allowed: Loop"),
    (with_a_hidden_graph, "MatMul has an attribute hidden with a graph of its own"),
    (with_external_weights, "weight w refers to external data"),
    (with_an_external_constant, "weight c refers to external data"),
    (with_a_huge_weight, "weight w makes the weights larger than 67,108,864 bytes"),
    (with_missing_numbers, "weight w does not hold the 7,840 numbers"),
    (with_weight(float("nan")), "weight w has a value that is not finite"),
    (with_weight(float("-inf")), "weight w has a value that is not finite"),
    (with_an_infinite_attribute, "LeakyRelu has an attribute alpha with a value that is not finite"),
    (with_text, "weight t has the type 8 of ONNX"),
    (with_sparse_weights, "sparse weights"),
    (with_a_function, "operators of its own, such as Bomb"),
    (with_training, "a part for training"),
    (with_dropout_in_training, "Dropout has an input that switches to training"),
    (with_many_operators, "1,001 operators; the most is 1,000"),
    (with_an_expansion, "result of Expand y has .* bytes; the most is 16,777,216"),
    (with_lies_about_sizes, "result of Expand y has .* bytes; the most is 16,777,216"),
    (with_sizes_from_the_picture, "size of the result of Expand y is not known before it runs"),
    (with_much_work, "multiplications for one picture; the most is 200,000,000"),
    (with_two_pictures, r"2 inputs \(x, other\); it must have one"),
    (with_an_open_size, r"input x has the sizes \['\?', '\?'\]"),
    (with_a_picture_that_is_no_square, r"sizes \[783\] is no square picture"),
    (with_eleven_classes, r"for 32 pictures the output y has the sizes \[32, 11\]; \[32, 10\] are needed"),
    (with_weights_that_do_not_fit, "sizes do not fit together"),
]


@pytest.mark.parametrize(("harm", "named"), HARMFUL, ids=[named[:40] for _, named in HARMFUL])
def test_a_harmful_file_in_a_model_folder_is_refused_by_name(tmp_path: Path, harm: Harm, named: str) -> None:
    model = network()
    imported(model, tmp_path)
    harm(model)
    replaced(tmp_path / "model", model.SerializeToString())
    with pytest.raises(ModelError, match=named):
        store.load(tmp_path / "model")


@pytest.mark.parametrize("harm", [with_a_loop, with_external_weights, with_weight(float("nan"))])
def test_a_harmful_file_is_not_imported(tmp_path: Path, harm: Harm) -> None:
    model = network()
    harm(model)
    with pytest.raises(OnnxError, match=r"model\.onnx is refused"):
        imported(model, tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", network().SerializeToString()[:-100]], ids=len)
def test_what_is_no_model_in_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OnnxError, match="not a model in ONNX"):
        imported(content, tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(network(), tmp_path)
    monkeypatch.setattr(graph, "MODEL_BYTES", 10_000)
    with pytest.raises(ModelError, match=r"it has 31,\d+ bytes; the most is 10,000"):
        store.load(tmp_path / "model")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_small_file_that_unpacks_to_gigabytes_meets_the_limit_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(network(), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(loading, "LOADING_BYTES", 16 * 1024 * 1024)
    # Operators without content: some 200 bytes each in memory, far more than this process can have free from before.
    parts = b"\x0a\x00" * 2**23
    size = bytes([len(parts) & 127 | 128, len(parts) >> 7 & 127 | 128, len(parts) >> 14 & 127 | 128, len(parts) >> 21])
    replaced(tmp_path / "model", b"\x3a" + size + parts)
    with pytest.raises(ModelError, match="takes too much memory"):
        store.load(tmp_path / "model")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


RESULTS = 48  # together 720 MiB: far more than this process can have free from before


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_results_that_together_take_too_much_memory_are_refused_at_the_load(tmp_path: Path) -> None:
    nodes = [make_node("Unsqueeze", ["x", "two"], ["a"]), make_node("Expand", ["a", "sizes"], ["b"])]
    nodes += [make_node("Mul", ["b", f"factor {i}"], [f"c{i}"]) for i in range(RESULTS)]  # 15 MiB each
    nodes += [make_node("Max", [f"c{i}" for i in range(RESULTS)], ["d"])]
    nodes += [make_node("ReduceMax", ["d"], ["e"], axes=[2], keepdims=0), make_node("MatMul", ["e", "w"], ["y"])]
    factors = {f"factor {i}": np.array(i, np.float32) for i in range(RESULTS)}
    numbers = {"two": np.array([2]), "sizes": np.array([1, 1, 5_000]), "w": WEIGHTS}
    imported(network(), tmp_path)
    replaced(tmp_path / "model", network(nodes, numbers | factors).SerializeToString())
    with pytest.raises(ModelError, match="cannot read 1 pictures at once within 134,217,728 bytes of memory"):
        store.load(tmp_path / "model")


def test_an_archive_that_inflates_to_more_than_a_model_may_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(network(), tmp_path)
    monkeypatch.setattr(store, "ARRAYS_BYTES", 20_000)
    with pytest.raises(ModelError, match=f"{ARRAYS} .* inflate to .* bytes; at most 20,000"):
        store.load(tmp_path / "model")


def test_the_largest_result_decides_how_many_pictures_are_read_at_once(tmp_path: Path) -> None:
    nodes = [
        make_node("Unsqueeze", ["x", "two"], ["a"]),
        make_node("Expand", ["a", "sizes"], ["b"]),  # 400 times as large
        make_node("ReduceMax", ["b"], ["c"], axes=[2], keepdims=0),
        make_node("MatMul", ["c", "w"], ["y"]),
    ]
    wide = network(nodes, {"two": np.array([2]), "sizes": np.array([1, 1, 400]), "w": WEIGHTS})
    assert shapes.check_sizes(network(), "y", 10) == shapes.AT_ONCE == 32
    assert shapes.check_sizes(wide, "y", 10) == shapes.VALUE_BYTES // (784 * 400 * 4) == 13
    pictures = np.zeros((40, 28, 28), np.float32), np.zeros((40, 0), np.float32)
    assert imported(wide, tmp_path).predictor.decide(*pictures).probabilities == pytest.approx(np.full((40, 10), 0.1))
