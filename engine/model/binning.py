"""Counts readings: into the bins of a reference, or to make one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.reference import DIGIT_BINS, MOST_BINS, UNSURE, Histogram, Reference
from engine.model.svm import Doubles, Floats

_DECILES: Final = np.arange(1, MOST_BINS) / MOST_BINS
_SHAPE: Final = (DIGIT_BINS, MOST_BINS, MOST_BINS)


class Bins:
    """The bins of a reference. The three bins of a reading are one number, its place."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        starts = [[place.start] for place in reference.bins.values()]
        self._of_place = np.ascontiguousarray((np.indices(_SHAPE).reshape(3, -1) + starts).T)

    def places(
        self, labels: NDArray[np.int64], unsure: NDArray[np.bool_], confidence: Floats, digitness: Floats
    ) -> list[int]:
        """Return the places of n readings.

        Parameters
        ----------
        labels, unsure, confidence, digitness
            (n,): digit, whether the reading is unsure, its confidence as stated, its log odds that there is a digit.
        """
        of_confidence = np.searchsorted(self._reference.confidence.edges, confidence, side="right")
        of_digitness = np.searchsorted(self._reference.digitness.edges, digitness, side="right")
        places: list[int] = np.ravel_multi_index(
            (np.where(unsure, UNSURE, labels), of_confidence, of_digitness), _SHAPE
        ).tolist()
        return places

    def counted(self, places: Sequence[int]) -> list[int]:
        """Count readings, given their places, in all bins of the reference."""
        counts: list[int] = np.bincount(self._of_place[places].ravel(), minlength=self._reference.size).tolist()
        return counts


def measured(labels: NDArray[np.int64], unsure: NDArray[np.bool_], confidence: Floats, digitness: Floats) -> Reference:
    """Make a reference of readings; the parameters are those of `Bins.places`, and n is at least 1."""
    digits = np.bincount(np.where(unsure, UNSURE, labels), minlength=DIGIT_BINS)
    return Reference(tuple(digits.tolist()), _histogram(confidence), _histogram(digitness))


def _histogram(values: Floats) -> Histogram:
    """Divide values into tenths. Fewer bins remain where many values are equal, since none is divided."""
    finite: Doubles = np.where(np.isfinite(values), values, np.finfo(np.float32).min).astype(np.float64)
    edges = np.unique(np.quantile(finite, _DECILES, method="higher"))
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))
