"""Runs compiled loops on all cores, in threads: they do not hold the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from engine.model.hog import FEATURES, hog
from engine.model.svm import Floats

_PART = 1_000


def in_parts(work: Callable[[slice], object], count: int) -> None:
    """Call `work` for slices that cover 0 to `count`, on all cores; an exception of a call is raised here."""
    parts = [slice(first, min(first + _PART, count)) for first in range(0, count, _PART)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, parts):
            pass


def describe(digits: Floats) -> Floats:
    """Compute `engine.model.hog.hog` of (n, 28, 28) digits on all cores."""
    features = np.empty((len(digits), FEATURES), np.float32)

    def fill(part: slice) -> None:
        features[part] = hog(digits[part])

    in_parts(fill, len(digits))
    return features
