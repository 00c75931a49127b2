"""A few digits to train with: the samples of the repository, and a training that takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.model.reference_digits import as_ink
from engine.training.data.augmentation import Strength, augment
from engine.training.data.labelled import Labelled
from engine.training.fit.learn import Plan

SAMPLES: Final = sorted((Path(__file__).parents[3] / "data" / "digits").glob("*.png"))


def sample_pixels() -> NDArray[np.uint8]:
    return np.array([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in SAMPLES])


def some_digits(count: int) -> Labelled:
    """Copies of the samples in the repository, none like the other."""
    chosen = np.random.default_rng(0).integers(0, len(SAMPLES), count)
    labels = np.array([int(path.name[0]) for path in SAMPLES])[chosen]
    return Labelled(augment(as_ink(sample_pixels())[chosen], Strength(), np.random.default_rng(1)), labels)


def small_plan(epochs: int) -> Plan:
    plan = Plan(directions=16, centres=40)
    return replace(plan, main=replace(plan.main, epochs=epochs), finish=replace(plan.finish, epochs=1))
