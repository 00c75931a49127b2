"""The convolutional network: what is exported computes what was trained, and the shipped one reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.model.files import ARRAYS
from engine.model.frame import Frame
from engine.model.onnx.predictor import SCORES, OnnxModel, build
from engine.reader import Reader
from engine.training.cnn.export import OUTPUT, to_onnx
from engine.training.cnn.kept import Kept
from engine.training.cnn.save import opened
from engine.training.cnn.shape import Shape, Weights
from models import default_model
from tests.unit.engine.training.few_digits import SAMPLES, some_digits

MODEL = default_model().parent / "digits-cnn"
NO_DIGIT = SAMPLES[0].parents[1] / "no_digit.png"
SMALL = Shape(blocks=(((5, 2),), ((3, 3), (3, 4))), hidden=5)


def some_weights(shape: Shape) -> Weights:
    rng = np.random.default_rng(0)
    sizes: dict[str, tuple[int, ...]] = {}
    before = 1
    for number, (side, maps) in enumerate(layer for block in shape.blocks for layer in block):
        sizes |= {f"kernel{number}": (side, side, before, maps), f"bias{number}": (maps,)}
        before = maps
    flat = before * shape.pooled_px**2
    sizes |= {"hidden": (flat, shape.hidden), "hidden_bias": (shape.hidden,)}
    sizes |= {"output": (shape.hidden, 10), "output_bias": (10,)}
    return {name: rng.normal(0, 0.3, size).astype(np.float32) for name, size in sizes.items()}


def computed(weights: Weights, shape: Shape, digit: NDArray[Any]) -> NDArray[Any]:
    """Compute the scores of one digit as the definition of a convolution says."""
    flow, number = digit[None].astype(np.float64), 0
    for block in shape.blocks:
        for _ in block:
            kernel = weights[f"kernel{number}"]
            side = len(kernel)
            half = side // 2
            padded = np.pad(flow, ((0, 0), (half, half), (half, half)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
            flow = np.einsum("cyxij,ijcm->myx", windows, kernel) + weights[f"bias{number}"][:, None, None]
            flow = np.maximum(flow, 0)
            number += 1
        flow = flow.reshape(len(flow), flow.shape[1] // 2, 2, -1, 2).max(axis=(2, 4))
    hidden = np.maximum(flow.reshape(-1) @ weights["hidden"] + weights["hidden_bias"], 0)
    scores: NDArray[Any] = hidden @ weights["output"] + weights["output_bias"]
    return scores


def test_the_exported_network_computes_what_the_weights_mean() -> None:
    weights, digits = some_weights(SMALL), some_digits(7).digits
    scores = opened(to_onnx(weights, SMALL)).scores(digits)
    np.testing.assert_allclose(scores, [computed(weights, SMALL, digit) for digit in digits], atol=1e-4)


def test_the_exported_network_gives_the_scores_of_the_framework_that_trained_it() -> None:
    pytest.importorskip("tensorflow", reason="needs the extra train-cnn", exc_type=ModuleNotFoundError)
    from engine.training.cnn.network import build, folded  # noqa: PLC0415  # needs an optional extra

    network = build(SMALL, "float32", seed=0)
    rng = np.random.default_rng(0)
    for variable in network.variables:  # so that gains, means and variances are none that a network starts with
        variable.assign(rng.uniform(0.1, 0.9, variable.shape) * (1 if "variance" in variable.path else 0.7))
    digits = some_digits(9).digits
    scores = opened(to_onnx(folded(network, SMALL), SMALL)).scores(digits)
    np.testing.assert_allclose(scores, np.asarray(network(digits[..., None], training=False)), rtol=1e-4, atol=1e-4)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the extra train-cnn", exc_type=ModuleNotFoundError)
    from engine.training.cnn.learn import CnnPlan, fit  # noqa: PLC0415  # needs an optional extra
    from engine.training.fit.learn import Pools  # noqa: PLC0415  # as above

    plan = CnnPlan(shape=SMALL, precision="float32")
    plan = replace(plan, main=replace(plan.main, epochs=2), finish=replace(plan.finish, epochs=1))
    data = some_digits(500)
    pools = Pools(data.part(slice(0, 100)), data.part(slice(100, 200)))
    whole = fit(data, pools, plan, Kept(tmp_path / "whole.npz", "same"), lambda *_: None)

    def stop(done: int, _: float) -> None:
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(data, pools, plan, Kept(tmp_path / "stopped.npz", "same"), stop)
    seen: list[int] = []
    went_on = fit(data, pools, plan, Kept(tmp_path / "stopped.npz", "same"), lambda done, _: seen.append(done))
    assert seen == [3]
    for name, array in whole.items():
        np.testing.assert_allclose(went_on[name], array, atol=1e-5, err_msg=name)


def test_what_a_training_has_reached_is_not_used_by_another_one(tmp_path: Path) -> None:
    path = tmp_path / "epoch.npz"
    assert Kept(path, "one").reached() == (0, [])
    Kept(path, "one").keep(3, [np.arange(4)])
    assert Kept(path, "one").reached()[0] == 3
    assert Kept(path, "another").reached() == (0, [])
    path.write_bytes(path.read_bytes()[:50])
    assert Kept(path, "one").reached() == (0, [])


def test_the_shipped_network_reads_the_samples_and_is_small() -> None:
    assert (MODEL / ARRAYS).stat().st_size <= 1_000_000
    classifier = Classifier.load(MODEL)
    assert isinstance(classifier.predictor, OnnxModel)
    readings = [outcome.reading for (outcome,) in Reader(classifier, Limits()).read([p.read_bytes() for p in SAMPLES])]
    digits = [int(path.name[0]) for path in SAMPLES]
    assert [reading.digit for reading in readings if reading is not None] == digits
    assert sum(reading is not None and reading.status == "recognised" for reading in readings) > 0.9 * len(digits)


def test_the_shipped_network_notices_a_picture_without_a_digit() -> None:
    classifier = Classifier.load(MODEL)
    (reading,) = classifier.classify(classifier.prepare([decode(NO_DIGIT.read_bytes(), Limits())]))
    assert reading.reason == "not-a-digit"


def test_a_reject_head_needs_the_canvas() -> None:
    classifier = Classifier.load(MODEL)
    assert isinstance(classifier.predictor, OnnxModel)
    with pytest.raises(ValueError, match="reject head needs pictures of 28 px from the canvas"):
        build(
            to_onnx(some_weights(SMALL), SMALL),
            OUTPUT,
            frame=Frame(canvas=False),
            mean=0.0,
            std=1.0,
            gives=SCORES,
            labels=tuple(range(10)),
            temperature=1.0,
            reject=classifier.predictor.reject,
        )
