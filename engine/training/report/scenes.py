"""How digits are read in scenes: on plates, in form fields, under shadows, cropped to their ink."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from engine.model.classifier import Classifier
from engine.training.data.samples import Samples, joined, prepare
from engine.training.report.evaluate import decide, judge
from engine.training.report.measure import Judged
from engine.training.scenes.kinds import SCENES

THUMBNAIL_PX: Final = 56
"""The side of the reduced pictures."""

_PART = 100
_PAPER = 255


@dataclass(frozen=True, slots=True)
class SceneReadings:
    """Readings of digits in scenes."""

    kinds: dict[str, Judged]
    """By the name of the scene."""
    thumbnails: NDArray[np.uint8]
    """(k, 56, 56): all pictures as they were sent, in grey and reduced, scene after scene."""


def read_scenes(
    classifier: Classifier,
    digits: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int,
    advance: Callable[[], None],
) -> SceneReadings:
    """Draw digits into every scene, and read them from the encoded bytes.

    Parameters
    ----------
    classifier
        The model.
    digits : (n, 28, 28) uint8
        0 paper, 255 ink; n is positive.
    labels : (n,) int64
    seed
        Of all random choices; the result does not depend on the number of cores.
    advance
        Called after each scene.
    """
    work = joblib.Parallel(n_jobs=os.cpu_count())
    kinds, thumbnails = {}, []
    for number, kind in enumerate(SCENES):
        parts = work(
            joblib.delayed(_drawn)(kind, digits[first : first + _PART], (seed, number, first))
            for first in range(0, len(digits), _PART)
        )
        decisions = decide(classifier, joined([samples for samples, _ in parts]))
        kinds[kind] = judge(decisions, classifier.thresholds, labels)
        thumbnails += [pictures for _, pictures in parts]
        advance()
    return SceneReadings(kinds, np.concatenate(thumbnails))


def _drawn(kind: str, digits: NDArray[np.uint8], seed: tuple[int, ...]) -> tuple[Samples, NDArray[np.uint8]]:
    """Draw some digits; return the canvas's output and the reduced pictures."""
    rng = np.random.default_rng(seed)
    pictures = [SCENES[kind](digit, rng) for digit in digits]
    return prepare(pictures), np.array([thumbnail(picture) for picture in pictures])


def thumbnail(encoded: bytes) -> NDArray[np.uint8]:
    """Reduce an encoded picture to grey in a square of 56 px; what it does not fill is white.

    Raises
    ------
    ValueError
        If OpenCV cannot decode it.
    """
    grey = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError("OpenCV cannot decode the picture")
    scale = THUMBNAIL_PX / max(grey.shape)
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    square = np.full((THUMBNAIL_PX, THUMBNAIL_PX), _PAPER, np.uint8)
    top, left = (THUMBNAIL_PX - height) // 2, (THUMBNAIL_PX - width) // 2
    square[top : top + height, left : left + width] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return square
