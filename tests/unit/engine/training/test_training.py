"""Training and measuring: small enough to run in seconds."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.progress import Progress

from engine.model.compact import Compact
from engine.model.reference_digits import as_ink, draw_reference_digits
from engine.model.svm import DIGITS, Floats
from engine.training.data.augmentation import Strength, augment
from engine.training.data.handwriting import other_handwriting, photographed
from engine.training.data.labelled import DataError, Labelled, list_folder, read_idx, read_mnist
from engine.training.data.samples import disturbed_samples, prepare
from engine.training.data.sources import read_training_digits
from engine.training.fit import learn, reject
from engine.training.fit.calibrate import FOREIGN_SHARE, fit_presence, fit_temperature, threshold_for_share
from engine.training.fit.learn import Plan, Pools
from engine.training.fit.reject import Examples, fit_reject
from engine.training.fit.stages import Stages, fingerprint
from engine.training.fit.train import Settings, train
from engine.training.hands.folder import Hands
from engine.training.hands.pen_tracks import PenTracks
from engine.training.hands.scans import Scans
from engine.training.parallel import describe
from engine.training.report.measure import (
    Judged,
    auroc,
    calibration_error,
    error_at_coverage,
    interval_pct,
    resampled_interval,
)

SAMPLES = sorted((Path(__file__).parents[3] / "data" / "digits").glob("*.png"))


def sample_pixels() -> NDArray[np.uint8]:
    return np.array([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in SAMPLES])


def some_digits(count: int) -> Labelled:
    """Copies of the samples in the repository, none like the other."""
    chosen = np.random.default_rng(0).integers(0, len(SAMPLES), count)
    labels = np.array([int(path.name[0]) for path in SAMPLES])[chosen]
    return Labelled(augment(as_ink(sample_pixels())[chosen], Strength(), np.random.default_rng(1)), labels)


def idx(values: NDArray[np.uint8], kind: int) -> bytes:
    return struct.pack(f">I{values.ndim}I", kind, *values.shape) + values.tobytes()


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gz"])
def test_idx_files_are_read_compressed_or_not(tmp_path: Path, compress: Any) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(compress(idx(draw_reference_digits(), 0x803)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(compress(idx(np.arange(10, dtype=np.uint8), 0x801)))
    data = read_mnist(tmp_path)
    np.testing.assert_array_equal(data.labels, np.arange(10))
    np.testing.assert_allclose(data.digits, as_ink(draw_reference_digits()))


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (b"", idx(np.arange(10, dtype=np.uint8), 0x801), "not an IDX file"),
        (idx(draw_reference_digits(), 0x803)[:-1], idx(np.arange(10, dtype=np.uint8), 0x801), "declares"),
        (idx(draw_reference_digits(), 0x803), idx(np.arange(9, dtype=np.uint8), 0x801), "9 labels"),
        (idx(draw_reference_digits(), 0x803), idx(np.arange(5, 15, dtype=np.uint8), 0x801), "label 14"),
        (
            gzip.compress(idx(draw_reference_digits(), 0x803))[:-9],
            idx(np.arange(10, dtype=np.uint8), 0x801),
            "cannot be read",
        ),
    ],
    ids=["empty", "cut short", "too few labels", "no digit", "damaged gzip"],
)
def test_idx_files_that_cannot_be_used_are_named(tmp_path: Path, images: bytes, labels: bytes, says: str) -> None:
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(DataError, match=says):
        read_idx(tmp_path / "images", tmp_path / "labels")


def test_a_folder_without_labelled_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folders named 0 to 9"):
        list_folder(tmp_path)


def test_training_digits_may_be_pictures_in_folders_and_come_mixed(tmp_path: Path) -> None:
    for path in SAMPLES:
        (tmp_path / path.name[0]).mkdir(exist_ok=True)
        (tmp_path / path.name[0] / path.name).write_bytes(path.read_bytes())
    data = read_training_digits(tmp_path)
    assert sorted(data.labels) == sorted(int(path.name[0]) for path in SAMPLES)
    assert list(data.labels) != sorted(data.labels)
    assert data.digits.shape == (len(SAMPLES), 28, 28)


def test_copies_differ_from_the_digit_and_from_one_another_but_not_from_seed_to_seed() -> None:
    digits = as_ink(draw_reference_digits())
    strength = Strength(untouched=0)
    first, second = (augment(digits, strength, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(first - digits).max(axis=(1, 2)).min() > 0.1
    assert np.abs(first - second).max(axis=(1, 2)).min() > 0.1
    np.testing.assert_array_equal(first, augment(digits, strength, np.random.default_rng(1)))


def test_a_copy_of_no_strength_is_the_digit() -> None:
    digits = as_ink(draw_reference_digits())
    np.testing.assert_array_equal(augment(digits, Strength(untouched=1), np.random.default_rng(0)), digits)


@pytest.mark.parametrize("kind", [other_handwriting, photographed])
def test_disturbed_digits_keep_their_ink_on_the_canvas(kind: Any) -> None:
    pixels = sample_pixels()
    seen = prepare([kind(digit, np.random.default_rng(i)) for i, digit in enumerate(pixels)])
    likeness = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen.digits, pixels, strict=True)]
    assert float(np.median(likeness)) > 0.6


def test_the_pool_depends_on_its_seed_alone() -> None:
    pixels = sample_pixels()[:6]
    once, again, other = (disturbed_samples(pixels, seed, lambda: None).digits for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_the_gradients_are_those_of_the_loss() -> None:
    data = some_digits(40)
    offset, single = learn._start(data, Plan(directions=4, centres=12), np.random.default_rng(0))
    features = describe(data.digits).astype(np.float64)
    targets = np.eye(DIGITS)[data.labels]
    parameters: dict[str, Any] = {name: value.astype(np.float64) for name, value in single.items()}
    _, gradients = learn._gradients(parameters, offset, features, targets)  # type: ignore[arg-type]  # doubles, so that differences are exact
    for name, gradient in gradients.items():
        at = tuple(0 for _ in gradient.shape)
        step = 1e-5
        losses = []
        for sign in (1, -1):
            changed = {key: value.copy() for key, value in parameters.items()}
            changed[name][at] += sign * step
            losses.append(learn._gradients(changed, offset, features, targets)[0])  # type: ignore[arg-type]  # as above
        assert float(gradient[at]) == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-3, abs=1e-7), name


def small_plan(epochs: int) -> Plan:
    plan = Plan(directions=16, centres=40)
    return replace(plan, main=replace(plan.main, epochs=epochs), finish=replace(plan.finish, epochs=1))


def test_the_step_warms_up_then_falls_to_its_end() -> None:
    phase = replace(Plan().main, rate=0.5, warm_up_steps=10, last_step=0.1)
    rates = [learn._rate(taken, 100, phase) for taken in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[10] < 0.5
    assert rates[100] == pytest.approx(0.05)


def test_an_epoch_has_all_clean_digits_and_other_ones_of_each_pool() -> None:
    data, pool = some_digits(30), Labelled(np.ones((50, 28, 28), np.float32), np.arange(50) + 100)
    rng = np.random.default_rng(0)
    hands = Labelled(np.zeros((9, 28, 28), np.float32), np.arange(9) + 200)
    phase = replace(Plan().finish, clean=2, disturbed_share=0.5, hands_share=0.2)
    first, second = (learn._mixed(data, Pools(pool, hands), phase, rng) for _ in range(2))
    for part in (slice(0, 30), slice(51, 81)):
        np.testing.assert_array_equal(first.digits[part], data.digits)
    assert len(first) == 81
    disturbed = set(first.labels[30:45])
    assert len(disturbed) == 15
    assert disturbed <= set(pool.labels)
    assert disturbed != set(second.labels[30:45])
    assert len(set(first.labels[45:51]) & set(hands.labels)) == 6


def test_the_temperature_makes_confidence_match_the_share_of_right_answers() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20_000, DIGITS))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature((scores * 1.7).astype(np.float32), labels) == pytest.approx(1.7, rel=0.03)


def test_a_few_wrong_labels_hardly_change_the_temperature() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 6, (20_000, DIGITS)).astype(np.float32)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    certain = np.flatnonzero(chances.max(axis=1) > 0.999)[:40]
    before = fit_temperature(scores, labels)
    labels[certain] = (labels[certain] + 1) % DIGITS
    assert fit_temperature(scores, labels) == pytest.approx(before, rel=0.05)


def test_the_temperature_is_finite_although_all_readings_are_right() -> None:
    scores = 4 * np.eye(DIGITS, dtype=np.float32)
    softer = fit_temperature(scores, np.arange(DIGITS))
    assert 0.25 < softer < 4


def test_a_threshold_leaves_the_given_share_below() -> None:
    values = np.random.default_rng(0).random(1_000).astype(np.float32)
    assert (values < threshold_for_share(values, 0.01)).mean() == pytest.approx(0.01, abs=0.001)


def test_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    confidence = np.full(1_500, 0.9, np.float32)
    assert calibration_error(confidence, np.arange(1_500) % 10 != 0) == pytest.approx(0, abs=0.01)
    assert calibration_error(confidence, np.ones(1_500, np.bool_)) == pytest.approx(0.1, abs=1e-6)


def test_error_at_coverage_leaves_out_the_least_confident() -> None:
    confidence = np.linspace(0, 1, 200).astype(np.float32)
    right = np.ones(200, np.bool_)
    right[:2] = False
    assert error_at_coverage(confidence, right, 1.0) == pytest.approx(0.01)
    assert error_at_coverage(confidence, right, 0.99) == 0


def test_auroc_is_the_chance_of_the_right_order() -> None:
    def floats(*values: float) -> Floats:
        return np.array(values, np.float32)

    assert auroc(floats(2, 3), floats(0, 1)) == 1
    assert auroc(floats(0, 1), floats(2, 3)) == 0
    assert auroc(floats(1, 1), floats(1, 1)) == 0.5
    assert auroc(floats(1, 3), floats(0, 2)) == 0.75


def test_wilson_intervals_agree_with_the_literature() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, and 0 of 20.
    assert interval_pct(81, 263) == pytest.approx([25.53, 36.62], abs=0.01)
    assert interval_pct(0, 20) == pytest.approx([0, 16.11], abs=0.01)
    assert interval_pct(0, 0) is None


def test_resampling_finds_about_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    low, high = resampled_interval(lambda drawn: float(values[drawn].mean()), 400) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert low < values.mean() < high


def test_judged_readings_count_errors_among_all_and_among_the_recognised() -> None:
    judged = Judged(
        labels=np.array([1, 2, 3, 4]),
        digits=np.array([1, 2, 3, 9]),
        confidence=np.array([1, 1, 1, 0.3], np.float32),
        unsure=np.array([False, False, False, True]),
    )
    figures = judged.figures()
    assert (figures["error_pct"], figures["unsure_pct"], figures["error_pct_recognised"]) == (25, 25, 0)
    assert judged.confusion()[4, 9] == 1


def test_the_gradients_of_the_reject_head_are_those_of_its_loss() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(0, 1, (30, 6)), np.repeat([1.0, 0.0], 15)
    parameters: dict[str, Any] = {
        name: value.astype(np.float64) + 0.1 for name, value in reject._start(6, random).items()
    }

    def loss(changed: dict[str, Any]) -> float:
        hidden = np.maximum(inputs @ changed["hidden"] + changed["hidden_bias"], 0)
        log_odds = hidden @ changed["output"] + changed["output_bias"]
        decay = sum(reject._DECAY / 2 * (changed[name] ** 2).sum() for name in ("hidden", "output"))
        return float((np.logaddexp(0, log_odds) - targets * log_odds).mean() + decay)

    for name, gradient in reject.gradients(parameters, inputs, targets).items():  # type: ignore[arg-type]  # doubles, so that differences are exact
        losses = []
        for sign in (1, -1):
            changed = {key: value.copy() for key, value in parameters.items()}
            changed[name].flat[0] += sign * 1e-5
            losses.append(loss(changed))
        assert gradient.flat[0] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3, abs=1e-7), name


def test_presence_is_the_share_of_digits_among_unsure_pictures() -> None:
    rng = np.random.default_rng(0)
    digits, foreign = (rng.normal(mean, 2, 40_000).astype(np.float32) for mean in (3, -3))
    slope, offset = fit_presence(digits, foreign, threshold=0.0)
    for low, high in ((-3, -2), (-1.5, -0.5)):
        shows, none = (((low < part) & (part < high)).mean() for part in (digits, foreign))
        share = (1 - FOREIGN_SHARE) * shows / ((1 - FOREIGN_SHARE) * shows + FOREIGN_SHARE * none)
        stated = 1 / (1 + math.exp(-(slope * (low + high) / 2 + offset)))
        assert stated == pytest.approx(share, abs=0.05)


def test_presence_can_be_found_although_digits_and_others_do_not_overlap() -> None:
    slope, offset = fit_presence(np.full(50, -1, np.float32), np.full(50, -9, np.float32), threshold=0.0)
    assert slope * -1 + offset > 0 > slope * -9 + offset


def test_presence_is_the_digitness_itself_if_nothing_is_unsure() -> None:
    assert fit_presence(np.ones(9, np.float32), np.ones(9, np.float32), threshold=0.0) == (1, 0)


@pytest.mark.slow  # trains a machine
def test_the_reject_head_learns_to_distinguish_digits_from_noise() -> None:
    data = some_digits(400)
    nothing = data.part(slice(0, 0))
    machine = learn.fit(data, Pools(nothing, nothing), small_plan(epochs=10), lambda *_: None)
    rng = np.random.default_rng(0)
    evidence = np.zeros((400, len(machine.reject.from_evidence)), np.float32)
    noise = Examples(rng.random((400, 28, 28), np.float32), evidence)
    fitted = fit_reject(machine, Examples(data.digits, evidence), noise, lambda: None)
    unseen = some_digits(100)
    digits = Compact(fitted).decide(unseen.digits, evidence[:100])
    others = Compact(fitted).decide(rng.random((100, 28, 28), np.float32), evidence[:100])
    assert auroc(digits.digitness, others.digitness) > 0.9
    np.testing.assert_array_equal(fitted.weights, machine.weights)


def test_a_kept_stage_is_done_again_only_if_it_was_made_from_something_else(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, NDArray[Any]]:
        made.append(1)
        return {"value": np.arange(3)}

    stages = Stages(tmp_path)
    for seed in (1, 1, 2):
        np.testing.assert_array_equal(stages.run("stage", fingerprint(seed), make)["value"], np.arange(3))
    assert len(made) == 2


def test_a_stage_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "stage.npz").write_bytes(b"PK\x03\x04 the machine was switched off here")
    assert Stages(tmp_path).run("stage", "x", lambda: {"value": np.ones(1)})["value"] == 1


@pytest.mark.slow  # trains two models
def test_the_same_training_twice_gives_the_same_predictions(tmp_path: Path) -> None:
    data = some_digits(240)
    scans = Scans(np.pad(sample_pixels()[:6], ((0, 0), (2, 2), (2, 2))), np.arange(6))
    hands = Hands(scans, PenTracks(np.random.default_rng(0).random((6, 8, 2)), np.full(6, 8)))
    settings = Settings(plan=small_plan(epochs=2), disturbed=40, negatives=30, characters=40)
    models = [
        train(
            data,
            hands,
            settings,
            folder=tmp_path / f"model-{run}",
            work=tmp_path / f"work-{run}",
            bars=Progress(disable=True),
        )
        for run in range(2)
    ]
    digits, evidence = as_ink(draw_reference_digits()), np.zeros((10, 12), np.float32)
    once, again = (made.predictor.decide(digits, evidence) for made in models)
    np.testing.assert_array_equal(once.probabilities, again.probabilities)
    np.testing.assert_array_equal(once.digitness, again.digitness)
    assert math.isclose(models[0].manifest["held_out"]["n"], 40)
    assert models[0].manifest["hands"]["scans"]["n"] == 1
    assert models[0].manifest["thresholds"]["presence_slope"] == pytest.approx(models[0].thresholds.presence_slope)
    assert models[0].manifest["held_out_hands"]["n"] == sum(one["n"] for one in models[0].manifest["hands"].values())
