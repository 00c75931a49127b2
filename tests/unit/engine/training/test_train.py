"""A whole training, small."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from engine.model.reference_digits import as_ink, draw_reference_digits
from engine.training.fit.train import Settings, train
from engine.training.hands.folder import Hands
from engine.training.hands.pen_tracks import PenTracks
from engine.training.hands.scans import Scans
from tests.unit.engine.training.few_digits import sample_pixels, small_plan, some_digits


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
