"""The random choices of a drawn digit. Drawings for measuring are made from other parameters than those for training.

The range of each parameter is divided into ten bands. Three of them are held out: training never draws from them, and
the drawings that a model is measured with are drawn from nothing else, in all their parameters at once.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

Split = Literal["train", "held out"]

_BANDS: Final = {"train": (0, 2, 3, 4, 6, 7, 9), "held out": (1, 5, 8)}
_COUNT: Final = 10


class Choices:
    """Draws the parameters of one split.

    Parameters
    ----------
    split
        Which bands of each range are used.
    rng
        The source of all random choices.
    """

    def __init__(self, split: Split, rng: np.random.Generator) -> None:
        self.rng = rng
        """For choices that are alike for both splits."""
        self._bands = _BANDS[split]

    def between(self, low: float, high: float) -> float:
        """Draw from the split's bands of a range."""
        band = self._bands[int(self.rng.integers(len(self._bands)))]
        return low + (high - low) * (band + float(self.rng.random())) / _COUNT

    def around(self, middle: float, reach: float) -> float:
        """Draw from the split's bands of the range `middle` - `reach` to `middle` + `reach`."""
        return self.between(middle - reach, middle + reach)

    def happens(self, chance: float) -> bool:
        """Return true with this chance."""
        return bool(self.rng.random() < chance)
