"""Models in ONNX are read as by the framework that made them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import make_node

from engine.codecs.decode import Picture
from engine.limits import Limits
from engine.model import store
from engine.model.classifier import Classifier
from engine.model.files import ModelError
from engine.model.svm import softmax
from engine.reader import Reader
from tests.harness.onnx_models import (
    DIGITS,
    EXPORTED,
    EXPORTED_BY_JAX,
    WEIGHTS,
    answers,
    convolving,
    imported,
    network,
)

by_each_framework = pytest.mark.parametrize("exported", [EXPORTED, EXPORTED_BY_JAX], ids=lambda path: path.stem)


def pixels() -> NDArray[np.uint8]:
    return np.array([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in DIGITS])


def probabilities(model: store.Model, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    classifier = Classifier(model)
    return classifier.decide(classifier.prepare([Picture(each) for each in pictures])).probabilities


def expected(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """What the network of `WEIGHTS` says of values in its own range."""
    return softmax(pictures.reshape(-1, 28 * 28).astype(np.float32) @ WEIGHTS)


@by_each_framework
def test_an_exported_model_gives_the_probabilities_of_the_framework_that_made_it(
    exported: Path, tmp_path: Path
) -> None:
    model = imported(exported.read_bytes(), tmp_path)
    assert [path.name for path in DIGITS] == list(answers(exported))
    assert probabilities(model, pixels()) == pytest.approx(np.array(list(answers(exported).values())), abs=1e-4)


@by_each_framework
def test_the_reader_states_the_probabilities_of_the_framework_to_four_decimals(exported: Path, tmp_path: Path) -> None:
    reader = Reader(Classifier(imported(exported.read_bytes(), tmp_path)), Limits())
    for path, (outcome,) in zip(DIGITS, reader.read([path.read_bytes() for path in DIGITS]), strict=True):
        assert outcome.reading is not None
        assert outcome.reading.probabilities == pytest.approx(answers(exported)[path.name], abs=1e-4)


@pytest.mark.parametrize(
    ("sizes", "layout"),
    [((28 * 28,), "flat"), ((28, 28), "nhw"), ((1, 28, 28), "nchw"), ((28, 28, 1), "nhwc")],
)
@pytest.mark.parametrize("count", ["n", 1, 7])
def test_a_picture_goes_into_the_sizes_that_the_input_declares(
    tmp_path: Path, sizes: tuple[int, ...], layout: str, count: str | int
) -> None:
    nodes = [make_node("Flatten", ["x"], ["f"]), make_node("MatMul", ["f", "w"], ["y"])]
    model = imported(network(nodes, sizes=(count, *sizes)), tmp_path)
    assert model.manifest["onnx"]["layout"] == layout
    assert probabilities(model, pixels()) == pytest.approx(expected(pixels() / 255), abs=1e-5)


def test_a_model_of_colour_pictures_gets_the_same_grey_three_times(tmp_path: Path) -> None:
    nodes = [
        make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=0),
        make_node("Flatten", ["s"], ["f"]),
        make_node("MatMul", ["f", "w"], ["y"]),
    ]
    colours = network(nodes, {"w": WEIGHTS, "axes": np.array([1])}, sizes=("n", 3, 28, 28))
    assert probabilities(imported(colours, tmp_path), pixels()) == pytest.approx(expected(pixels() / 255 * 3), abs=1e-5)


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.DOUBLE])
def test_values_have_the_type_of_the_input(tmp_path: Path, dtype: int) -> None:
    nodes = [make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), make_node("MatMul", ["f", "w"], ["y"])]
    model = imported(network(nodes, {"w": WEIGHTS / 255}, dtype=dtype), tmp_path, white=255)
    assert probabilities(model, pixels()) == pytest.approx(expected(pixels() / 255), abs=1e-4)


def test_values_have_the_range_of_the_training_pictures(tmp_path: Path) -> None:
    model = imported(network(), tmp_path, bright_ink=False, white=255, mean=33.3, std=78.6)
    assert probabilities(model, pixels()) == pytest.approx(expected((255.0 - pixels() - 33.3) / 78.6), abs=1e-4)


def test_columns_stand_for_the_digits_that_the_import_names(tmp_path: Path) -> None:
    labels = (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)
    model = imported(network(), tmp_path, labels=labels)
    assert probabilities(model, pixels())[:, labels] == pytest.approx(expected(pixels() / 255), abs=1e-5)


@pytest.mark.parametrize("count", ["n", 1])
def test_a_network_with_convolutions_reads_alike_alone_and_in_a_batch(tmp_path: Path, count: str | int) -> None:
    model = imported(convolving((count, 1, 28, 28)), tmp_path)
    together = probabilities(model, pixels())
    alone = np.concatenate([probabilities(model, pixels()[i : i + 1]) for i in range(len(DIGITS))])
    assert together == pytest.approx(alone, abs=1e-6)
    assert np.ptp(together, axis=0).max() > 0.01


def test_the_canvas_centres_the_digit_first_if_the_import_says_so(tmp_path: Path) -> None:
    model = imported(EXPORTED.read_bytes(), tmp_path, canvas=True)
    away = np.pad(pixels(), [(0, 0), (0, 150), (90, 0)])
    found = probabilities(model, away).argmax(axis=1)
    assert np.mean(found == [int(path.name[0]) for path in DIGITS]) >= 0.9


def test_a_picture_for_which_the_model_has_no_number_is_unsure(tmp_path: Path) -> None:
    nodes = [
        make_node("MatMul", ["x", "w"], ["p"]),
        make_node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1),
        make_node("Log", ["m"], ["l"]),  # of a blank picture: minus infinity
        make_node("Add", ["p", "l"], ["y"]),
    ]
    classifier = Classifier(imported(network(nodes), tmp_path))
    pictures = [Picture(np.zeros((28, 28), np.uint8)), Picture(pixels()[0])]
    blank, digit = classifier.classify(classifier.prepare(pictures))
    assert (blank.status, blank.reason, digit.status) == ("unsure", "not-a-digit", "recognised")
    assert blank.confidence < 0.1
    assert sum(blank.probabilities) == pytest.approx(1)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of this process")
def test_a_model_runs_in_the_thread_that_asks(tmp_path: Path) -> None:
    model = imported(EXPORTED.read_bytes(), tmp_path)  # its library has been imported now
    before = set(Path("/proc/self/task").iterdir())
    again = store.load(tmp_path / "model")
    probabilities(again, pixels())
    assert set(Path("/proc/self/task").iterdir()) <= before
    assert model.info == again.info


def test_without_the_extra_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(network(), tmp_path)
    for name in [name for name in sys.modules if name.startswith("engine.model.onnx.loading")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"need onnx: pip install 'digitstream\[onnx\]'"):
        store.load(tmp_path / "model")
