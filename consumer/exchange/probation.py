"""Probation: whether another model answers as its predecessor did, for some time after it has taken over.

The gate has seen that a model reads known digits. What it does with the pictures of the senders shows only when it
serves: as more answers that are unsure or failed. Fewer of them are no reason to return, since nothing here knows which
are right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.tally import Tally

LEAST_ANSWERS: Final = 50
"""Fewer answers of either model say nothing."""
LEAST_DEVIATIONS: Final = 5.0
"""Standard errors between the two shares: they are compared again and again, so chance must be all but excluded."""


@dataclass(frozen=True, slots=True)
class Probation:
    """A model that serves, and what would take its place again.

    Attributes
    ----------
    trusted
        The model that has served before, and may serve again.
    before
        The answers of that one.
    ends_s
        When the new model is trusted, too, on the monotonic clock.
    """

    trusted: PinnedModel
    before: Tally
    ends_s: float


def left_band(before: Tally, after: Tally, margin: float) -> str:
    """Say that the bad answers have become more, by a margin and beyond chance; else return an empty text.

    Parameters
    ----------
    before, after
        The answers of both models.
    margin
        By how much the share may rise.
    """
    if min(before.answers, after.answers) < LEAST_ANSWERS:
        return ""
    pooled = (before.bad + after.bad) / (before.answers + after.answers)
    error = math.sqrt(pooled * (1 - pooled) * (1 / before.answers + 1 / after.answers))
    if after.share - before.share <= max(margin, LEAST_DEVIATIONS * error):
        return ""
    return (
        f"after the exchange {after.share:.1%} of {after.answers:.0f} answers were unsure or failed, "
        f"before it {before.share:.1%} of {before.answers:.0f}"
    )
