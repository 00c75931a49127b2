"""How good the readings are: error, calibration, coverage, each as a percentage with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import DIGITS, Floats

BINS: Final = 15
"""Of the calibration error: equally many digits in each."""

TITLES: Final[Mapping[str, str]] = {
    "n": "digits",
    "error_pct": "error",
    "ece_pct": f"calibration error ({BINS} bins of equally many)",
    "error_at_99_coverage_pct": "error at 99 % coverage",
    "unsure_pct": "unsure",
    "error_pct_recognised": "error among the recognised",
    "right_recognised_pct": "right and recognised",
}
"""How tables for people name the figures of `Judged.figures`, in this order."""

_Z_95 = 1.959964
_COVERAGE = 0.99
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """n readings of pictures whose digit is known."""

    labels: NDArray[np.int64]
    """(n,): what the pictures show."""
    digits: NDArray[np.int64]
    """(n,): what was read."""
    confidence: Floats
    """(n,): as it is stated in the results."""
    unsure: NDArray[np.bool_]
    """(n,)"""

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(n,): read as another digit, unsure or not."""
        wrong: NDArray[np.bool_] = self.labels != self.digits
        return wrong

    def figures(self) -> dict[str, Any]:
        """Compute what `digit-engine evaluate --json` prints; shares are percentages, None of nothing."""
        count, wrong = len(self.labels), int(self.wrong.sum())
        recognised = ~self.unsure
        wrong_recognised = int((self.wrong & recognised).sum())
        right_recognised = int((~self.wrong & recognised).sum())
        return {
            "n": count,
            "error_pct": _percent(wrong, count),
            "error_pct_interval": interval_pct(wrong, count),
            "ece_pct": round(100 * calibration_error(self.confidence, ~self.wrong), 4),
            "ece_pct_interval": self._resampled_pct(calibration_error),
            "error_at_99_coverage_pct": round(100 * error_at_coverage(self.confidence, ~self.wrong, _COVERAGE), 4),
            "error_at_99_coverage_pct_interval": self._resampled_pct(
                lambda confidence, right: error_at_coverage(confidence, right, _COVERAGE)
            ),
            "unsure_pct": _percent(int(self.unsure.sum()), count),
            "unsure_pct_interval": interval_pct(int(self.unsure.sum()), count),
            "error_pct_recognised": _percent(wrong_recognised, int(recognised.sum())),
            "error_pct_recognised_interval": interval_pct(wrong_recognised, int(recognised.sum())),
            "right_recognised_pct": _percent(right_recognised, count),
            "right_recognised_pct_interval": interval_pct(right_recognised, count),
        }

    def _resampled_pct(self, statistic: Callable[[Floats, NDArray[np.bool_]], float]) -> list[float] | None:
        """Give the 95 % interval of a statistic by the bootstrap (Efron 1979): a share of the digits, in percent."""
        right = ~self.wrong

        def again(drawn: NDArray[np.int64]) -> float:
            return 100 * statistic(self.confidence[drawn], right[drawn])

        return resampled_interval(again, len(right))

    def part(self, chosen: NDArray[np.bool_]) -> Judged:
        """Select the readings where the mask (n,) is true."""
        return Judged(self.labels[chosen], self.digits[chosen], self.confidence[chosen], self.unsure[chosen])

    def confusion(self) -> NDArray[np.int64]:
        """Count (10, 10): rows are what is shown, columns what was read."""
        counts = np.zeros((DIGITS, DIGITS), np.int64)
        np.add.at(counts, (self.labels, self.digits), 1)
        return counts


def joined(parts: Iterable[Judged]) -> Judged:
    """Concatenate the readings of several kinds of pictures, of which there is at least one."""
    given = list(parts)
    return Judged(
        np.concatenate([part.labels for part in given]),
        np.concatenate([part.digits for part in given]),
        np.concatenate([part.confidence for part in given]),
        np.concatenate([part.unsure for part in given]),
    )


def interval_pct(count: int, total: int) -> list[float] | None:
    """Give the 95 % interval of a share after Wilson (1927), in percent; None of nothing."""
    if total == 0:
        return None
    share, square = count / total, _Z_95**2 / total
    middle = (share + square / 2) / (1 + square)
    half = _Z_95 / (1 + square) * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return [round(100 * max(0.0, middle - half), 3), round(100 * min(1.0, middle + half), 3)]


def resampled_interval(statistic: Callable[[NDArray[np.int64]], float], count: int) -> list[float] | None:
    """Give the 95 % interval of a statistic of `count` things, from samples drawn with replacement; None of nothing.

    Parameters
    ----------
    statistic
        Takes the numbers of the things that were drawn.
    count
        How many things there are.
    """
    if count == 0:
        return None
    random = np.random.default_rng(0)
    values = [statistic(random.integers(0, count, count)) for _ in range(_RESAMPLES)]
    return [round(float(value), 4) for value in np.quantile(values, [0.025, 0.975])]


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Average how far confidence and share of right readings lie apart, over 15 bins of equally many digits.

    References
    ----------
    .. [1] M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
       AAAI 2015.
    """
    if not len(confidence):
        return math.nan
    return sum(share * abs(stated - correct) for share, stated, correct in reliability(confidence, right))


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """Give each bin's share of the digits, mean confidence and share of right readings."""
    order = np.argsort(confidence, kind="stable")
    return [
        (len(part) / len(order), float(confidence[part].mean(dtype=np.float64)), float(right[part].mean()))
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def error_at_coverage(confidence: Floats, right: NDArray[np.bool_], coverage: float) -> float:
    """Give the error of the most confident digits, when the given share of all digits is kept."""
    kept = np.argsort(-confidence, kind="stable")[: math.ceil(coverage * len(confidence))]
    return float(1 - right[kept].mean()) if len(kept) else math.nan


def auroc(positive: Floats, negative: Floats) -> float:
    """Give the chance that a digit scores above what is no digit (ties count half), by ranks.

    References
    ----------
    .. [1] J. Hanley, B. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143 (1982).
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))


def _percent(count: int, total: int) -> float | None:
    return round(100 * count / total, 4) if total else None
