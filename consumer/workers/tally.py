"""How many answers of a model are unsure or failed: two models are compared by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from consumer.workers.tasks import Part
from contract.errors import ErrorCode

HALF_LIFE_S: Final = 600.0
"""An answer that is so old counts half: a tally is about what senders send now."""
MOST_OF_A_RECORD: Final = 10
"""An archive counts as this number of images at most: its images are alike, and one archive must not decide."""
FAULTS_OF_MODELS: Final = (
    ErrorCode.WORKER_CRASHED,
    ErrorCode.WORKER_TIMEOUT,
    ErrorCode.RECORD_TIMEOUT,
    ErrorCode.OUT_OF_MEMORY,
    ErrorCode.INTERNAL_ERROR,
)
"""Failures that a model can cause. All others are found before a model sees the image, so they are not counted."""


class Tally:
    """Counts the answers of one model. Owner: the workers' tasks; the exchange of models reads it.

    Parameters
    ----------
    clock
        The monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at_s = clock()
        self.answers = 0.0
        """Recognised, unsure, or failed by a fault that a model can have."""
        self.bad = 0.0
        """Those of them that are not recognised."""

    @property
    def share(self) -> float:
        """The share of the bad ones; 0 without answers."""
        return self.bad / self.answers if self.answers else 0.0

    def count(self, parts: Iterable[Part]) -> None:
        """Add what a worker has answered."""
        now_s = self._clock()
        kept = 0.5 ** ((now_s - self._at_s) / HALF_LIFE_S)
        self._at_s = now_s
        self.answers, self.bad = self.answers * kept, self.bad * kept
        for part in parts:
            bad = part.unsure + sum(part.failures.get(code, 0) for code in FAULTS_OF_MODELS)
            if answers := part.recognised + bad:
                counted = min(answers, max(part.records, 1) * MOST_OF_A_RECORD)
                self.answers += counted
                self.bad += counted * bad / answers
