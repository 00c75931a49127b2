"""How far readings are from what the model expects: the population stability index of the last ones.

The reference is that of the model's manifest. Workers count the readings of a part in its bins; here the counts of each
sender are added up, and older ones fade, so that memory and time do not grow. When another model serves, all begins
again with the reference of that one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from operator import add
from typing import Final

import msgspec
import structlog

from consumer.observe.views import ServingView
from consumer.partitions.observers import LaneObserver, Publication
from consumer.settings import DriftSettings
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.tasks import OTHERS
from engine.model.reference import Reference, psi, reference_of

log = structlog.get_logger()

FEWEST: Final = 1_000
"""Readings below which no index is computed: of 500, that of 11 bins is 0.02 on the mean if nothing has changed, and of
50 it would be 0.2."""
_FADED_AT_ONCE: Final = 8  # parts
FORGOTTEN_S: Final = 86_400.0
"""A sender that has sent nothing for so long is forgotten, which makes room for another one."""


class Window:
    """Counts of the last readings, in the bins of a reference. Each reading counts less with each one after it."""

    def __init__(self, reference: Reference, length: int) -> None:
        self._length = length
        self._digits = reference.bins["digits"]
        self._counts: list[float] = [0.0] * reference.size
        self._fresh = [0] * reference.size
        self._parts = 0
        self.changed_at_s = 0.0

    @property
    def counts(self) -> list[float]:
        """Of each bin how many readings are in it, by their weights."""
        self._fade()
        return self._counts

    @property
    def readings(self) -> float:
        """How many readings are in it, by their weights; with the time about as many as its length."""
        return sum(self.counts[self._digits])

    def add(self, counts: Sequence[int], now_s: float) -> None:
        """Add the counts of a part. Fading takes most of the time, so that of several parts is done at once."""
        self._fresh = [*map(add, self._fresh, counts)]
        self._parts += 1
        self.changed_at_s = now_s
        if self._parts == _FADED_AT_ONCE:
            self._fade()

    def _fade(self) -> None:
        if self._parts:
            kept = math.exp(-sum(self._fresh[self._digits]) / self._length)
            self._counts = [before * kept + count for before, count in zip(self._counts, self._fresh, strict=True)]
            self._fresh, self._parts = [0] * len(self._counts), 0


class Drift(LaneObserver):
    """Compares readings with the reference of the model that serves. Owner: the service.

    Parameters
    ----------
    workers
        Say which model serves.
    settings
        Length of the windows, and the most senders.
    clock
        The time in seconds; tests replace it.
    """

    def __init__(
        self, workers: ServingView, settings: DriftSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._settings = settings
        self._clock = clock
        self._model: PinnedModel | None = None
        self._sha256 = ""
        self._senders: dict[str, Window] = {}
        self.reference: Reference | None = None
        """Of the model that serves; None before the first reading, and if its manifest has none."""
        self.all: Window | None = None
        """The readings of all senders; None where there is no reference."""

    def committed(self, publication: Publication) -> None:
        """Count the readings of a committed transaction; those of a model that serves no more are left out."""
        if self._workers.pinned is not self._model:
            self._begin(self._workers.pinned)
        if self.reference is None or self.all is None:
            return
        now_s = self._clock()
        for ready in publication.parts:
            part = ready.part
            if part.model != self._sha256 or not part.readings:
                continue
            if any(len(counts) != self.reference.size for counts in part.readings.values()):
                continue  # a worker that an image controls could send anything
            self.all.add([*map(sum, zip(*part.readings.values(), strict=True))], now_s)
            if self._settings.sender_header:
                for sender, counts in part.readings.items():
                    window = self._senders.get(sender) or self._room_for(sender, now_s, self.reference)
                    window.add(counts, now_s)

    def indices(self, window: Window) -> dict[str, float]:
        """Return the index of each histogram; none of a window with too few readings, or without any for a day."""
        is_forgotten = self._clock() - window.changed_at_s > FORGOTTEN_S
        if self.reference is None or is_forgotten or window.readings < FEWEST:
            return {}
        return {
            name: psi(self.reference.counts[name], window.counts[place]) for name, place in self.reference.bins.items()
        }

    @property
    def senders(self) -> dict[str, Window]:
        """The windows of the senders; none if no header names them."""
        return self._senders

    def _begin(self, model: PinnedModel) -> None:
        self._model, self._senders, self.all = model, {}, None
        self._sha256 = model.manifest_sha256
        self.reference = reference_of(msgspec.json.decode(model.manifest_json))
        if self.reference is None:
            log.info("drift not watched", model=model.info.name, version=model.info.version, why="it has no reference")
        else:
            self.all = Window(self.reference, self._settings.window)

    def _room_for(self, sender: str, now_s: float, reference: Reference) -> Window:
        """Return the window of a new sender, or that of all others if there is no room."""
        named = len(self._senders) - (OTHERS in self._senders)
        if sender != OTHERS and named >= self._settings.senders:
            oldest = min(self._senders, key=lambda name: (name == OTHERS, self._senders[name].changed_at_s))
            if now_s - self._senders[oldest].changed_at_s > FORGOTTEN_S:
                del self._senders[oldest]
            else:
                sender = OTHERS
        return self._senders.setdefault(sender, Window(reference, self._settings.window))
