"""What a model's readings look like on pictures as it expects them, and how far others are from that.

The manifest has three histograms: of the digits, of the confidences and of the reject scores. Each bin of the last two
holds a tenth of the reference, as far as its values differ. This module needs no numpy: `engine.model.binning` counts.

References
----------
.. [1] N. Siddiqi, "Credit Risk Scorecards", Wiley 2006: the population stability index, and 0.1 and 0.25 as its limits.
.. [2] B. Yurdakul, J. Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
   Validation 14 (2020): of n and m equally distributed values, the mean of the index of k bins is (k-1)(1/n + 1/m).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

FIELD: Final = "reference"
"""Of the manifest."""
DIGIT_BINS: Final = 11
"""The digits 0 to 9 of recognised readings, and all unsure ones."""
UNSURE: Final = DIGIT_BINS - 1
"""The bin of those."""
MOST_BINS: Final = 10
"""Of confidences, and of reject scores."""
HISTOGRAMS: Final = ("digits", "confidence", "digitness")
"""In the order of the bins of `Reference.bins`."""

_SMOOTHING: Final = 0.5  # added to each bin, so that an empty one does not make the index infinite


class Histogram(msgspec.Struct, frozen=True):
    """Counts between ascending edges: the first bin is below the first edge, and an edge belongs to the bin above."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Reference(msgspec.Struct, frozen=True):
    """The three histograms of a model."""

    digits: tuple[int, ...]
    """`DIGIT_BINS` counts."""
    confidence: Histogram
    """As stated, not rounded."""
    digitness: Histogram
    """Log odds that the picture shows a digit at all."""

    @property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """The counts of each histogram, by its name."""
        return {"digits": self.digits, "confidence": self.confidence.counts, "digitness": self.digitness.counts}

    @property
    def bins(self) -> dict[str, slice]:
        """The place of each histogram in a list of the bins of all of them."""
        ends = [0, *itertools.accumulate(len(counts) for counts in self.counts.values())]
        return {name: slice(*ends[number : number + 2]) for number, name in enumerate(HISTOGRAMS)}

    @property
    def size(self) -> int:
        """How many bins all histograms have."""
        return sum(len(counts) for counts in self.counts.values())


def reference_of(manifest: Mapping[str, Any]) -> Reference | None:
    """Return the reference that a manifest has; None if it has none.

    Raises
    ------
    ValueError
        It is no reference.
    """
    if FIELD not in manifest:
        return None
    try:
        read = msgspec.convert(manifest[FIELD], Reference)
    except msgspec.ValidationError as error:
        raise ValueError(f"{FIELD}: {error}") from error
    if len(read.digits) != DIGIT_BINS:
        raise ValueError(f"{FIELD}: {len(read.digits)} bins of digits, not {DIGIT_BINS}")
    for histogram in (read.confidence, read.digitness):
        edges, counts = histogram.edges, histogram.counts
        if not 0 < len(counts) == len(edges) + 1 <= MOST_BINS:
            raise ValueError(f"{FIELD}: {len(counts)} bins between {len(edges)} edges; the most is {MOST_BINS}")
        if not all(map(math.isfinite, edges)) or any(one >= other for one, other in itertools.pairwise(edges)):
            raise ValueError(f"{FIELD}: edges must be finite and ascend")
    for counts in read.counts.values():
        if min(counts) < 0 or sum(counts) != sum(read.digits) or not sum(counts):
            raise ValueError(f"{FIELD}: counts must not be negative, and have one sum above 0")
    return read


def psi(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the population stability index [1]_ of two histograms with the same bins.

    Parameters
    ----------
    expected, found
        Counts, which may be weighted. Half a reading is added to each bin.

    Returns
    -------
    index : float
        0 if the shares are equal; above 0.1 they have shifted, above 0.25 they are others.
    """
    wanted, shown = shares(expected), shares(found)
    return sum((b - a) * math.log(b / a) for a, b in zip(wanted, shown, strict=True))


def shares(counts: Sequence[float]) -> list[float]:
    """Return the share of each bin, of counts to each of which half a reading is added."""
    total = sum(counts) + _SMOOTHING * len(counts)
    return [(count + _SMOOTHING) / total for count in counts]
