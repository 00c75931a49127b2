"""Reading labelled pictures with a model, the way the service reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture, decode
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.classifier import Classifier, stated_confidence, unsure_masks
from engine.model.reference_digits import as_ink
from engine.model.store import Thresholds
from engine.model.svm import Decision
from engine.training.data.labelled import Labelled
from engine.training.data.samples import Samples
from engine.training.report.measure import Judged

_CHUNK = 256
_UNREAD = -1  # the digit of a picture that cannot be decoded: wrong whatever its label


def judge_digits(classifier: Classifier, data: Labelled, advance: Callable[[int], None]) -> Judged:
    """Read digits as 28x28 pictures, bright ink on black.

    Parameters
    ----------
    classifier
        The model.
    data
        The digits and their labels.
    advance
        Called with the number of digits read since the last call.
    """
    pixels = np.rint(data.digits * 255).astype(np.uint8)
    chunks = []
    for first in range(0, len(pixels), _CHUNK):
        pictures = [Picture(digit) for digit in pixels[first : first + _CHUNK]]
        chunks.append(classifier.decide(classifier.prepare(pictures)))
        advance(len(pictures))
    return judge(chunks, classifier.thresholds, data.labels)


def judge_pictures(
    classifier: Classifier, listed: Sequence[tuple[Path, int]], advance: Callable[[int], None]
) -> Judged:
    """Read picture files with their labels; one that cannot be decoded is wrong and unsure."""
    labels = np.array([label for _, label in listed], np.int64)
    limits = Limits()
    chunks, failed = [], np.zeros(len(listed), np.bool_)
    for first in range(0, len(listed), _CHUNK):
        pictures = []
        for i, (path, _) in enumerate(listed[first : first + _CHUNK], first):
            try:
                pictures.append(decode(path.read_bytes(), limits))
            except EngineError:
                failed[i] = True
                pictures.append(Picture(np.zeros((8, 8), np.uint8)))
        chunks.append(classifier.decide(classifier.prepare(pictures)))
        advance(len(pictures))
    judged = judge(chunks, classifier.thresholds, labels)
    judged.digits[failed] = _UNREAD
    judged.unsure[failed] = True
    return judged


def decide(classifier: Classifier, seen: Samples) -> list[Decision]:
    """Decide on pictures that have been through decoder and canvas, as many at a time as the service does."""
    parts = [slice(first, first + _CHUNK) for first in range(0, len(seen.digits), _CHUNK)]
    return [classifier.decide(Canvas(as_ink(seen.digits[part]), seen.evidence[part])) for part in parts]


def judge(chunks: Sequence[Decision], thresholds: Thresholds, labels: NDArray[np.int64]) -> Judged:
    """Compare decisions with the labels."""
    digits = np.concatenate([chunk.labels for chunk in chunks])
    unsure = [np.logical_or(*unsure_masks(chunk, thresholds)) for chunk in chunks]
    confidence = [stated_confidence(chunk, mask, thresholds) for chunk, mask in zip(chunks, unsure, strict=True)]
    return Judged(labels, digits, np.concatenate(confidence), np.concatenate(unsure))
