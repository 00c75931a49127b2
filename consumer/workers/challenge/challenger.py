"""Reads with the challenger, in a worker that has nothing else to do.

A worker reads a step of pictures at a time, and looks before each step whether the next batch has come. If so, it
leaves out the rest: answers go first, and a busy service challenges little. So the most that a batch waits is one step,
or one picture if that takes longer. Pictures with many pixels are left out for that reason.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from consumer.workers.challenge.report import FAILED, Challenged, Compared, Disputed, Said, Skip
from consumer.workers.challenge.sampling import Sample, Samples
from engine.errors import DecodesTooLarge, InternalError, TooManyPixels
from engine.limits import Limits
from engine.model.classifier import Classifier, Reading
from engine.reader import Outcome, Reader

STEP_S: Final = 0.002
"""About how long a step takes."""
MOST_PICTURES: Final = 64
"""Of a step."""
MOST_PIXELS: Final = 1_000_000
"""Of a picture: to decode one takes some ten milliseconds."""


class Challenger:
    """Compares the champion's readings with those of another model. Owner: the main loop of the worker.

    Parameters
    ----------
    classifier
        The other model.
    limits
        Of the engine. Those that bound the time of a picture are lowered.
    keeps_disputed
        True if the report has the pictures on which the models disagree.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        classifier: Classifier,
        limits: Limits,
        *,
        keeps_disputed: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        lowered = dataclasses.replace(
            limits,
            pixels=min(limits.pixels, MOST_PIXELS),
            reduced_pixels=min(limits.reduced_pixels, MOST_PIXELS),
        )
        self._reader = Reader(classifier, lowered)
        self._keeps_disputed = keeps_disputed
        self._clock = clock
        self._picture_s = STEP_S

    def warm_up(self) -> None:
        """Read some pictures, so that nothing is compiled or allocated for the first time later."""
        self._reader.warm_up()

    def challenge(self, samples: Samples, is_wanted: Callable[[], bool]) -> Challenged:
        """Read the pictures that wait, until all are read or the worker is wanted for something else.

        Parameters
        ----------
        samples
            The pictures.
        is_wanted
            Called before each step; true ends the challenge.
        """
        comparison = _Comparison(keeps_disputed=self._keeps_disputed)
        skipped: Counter[Skip] = samples.skipped.copy()
        waiting = [sample for sample in samples.waiting if sample.outcome.reading is not None]
        while waiting:
            if is_wanted():
                skipped["load"] += len(waiting)
                break
            count = max(1, min(MOST_PICTURES, int(STEP_S / self._picture_s)))
            step, waiting = waiting[:count], waiting[count:]
            begun_s = self._clock()
            outcomes = self._read([sample.data for sample in step])
            took_s = self._clock() - begun_s
            self._picture_s = max(took_s / count, STEP_S / MOST_PICTURES)
            for sample, outcome in zip(step, outcomes, strict=True):
                if isinstance(outcome.error, TooManyPixels | DecodesTooLarge):
                    skipped["size"] += 1
                else:
                    comparison.add(sample, outcome.reading)
            comparison.seconds += took_s
        return comparison.report(dict(skipped))

    def _read(self, pictures: Sequence[bytes]) -> list[Outcome]:
        """Read pictures; what the model raises fails all of the step, and nothing else."""
        try:
            read = self._reader.read(pictures)
        except Exception:  # noqa: BLE001  # whatever it is, the champion goes on
            return [Outcome(error=InternalError("The challenger failed.")) for _ in pictures]
        return [outcomes[0] for outcomes in read]


class _Comparison:
    """What is compared so far."""

    def __init__(self, *, keeps_disputed: bool) -> None:
        self.seconds = 0.0
        self._keeps_disputed = keeps_disputed
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._champion_confidence = self._challenger_confidence = 0.0
        self._disputed: list[Disputed] = []

    def add(self, sample: Sample, reading: Reading | None) -> None:
        champion = sample.outcome.reading
        if champion is None:
            return
        if reading is None or not math.isfinite(reading.confidence):
            self._pairs[_label(champion), FAILED] += 1
            return
        pair = _label(champion), _label(reading)
        self._pairs[pair] += 1
        self._champion_confidence += champion.confidence
        self._challenger_confidence += reading.confidence
        if pair[0] != pair[1] and self._keeps_disputed:
            place = (sample.partition, sample.offset, sample.item)
            said = (_said(champion), _said(reading))
            self._disputed.append(Disputed(*place, sample.request_id, sample.name, *said, sample.data))

    def report(self, skipped: dict[Skip, int]) -> Challenged:
        return Challenged(
            [Compared(*pair, count) for pair, count in self._pairs.items()],  # type: ignore[arg-type]  # labels
            self._champion_confidence,
            self._challenger_confidence,
            self.seconds,
            skipped,
            self._disputed,
        )


def _label(reading: Reading) -> str:
    return str(reading.digit) if reading.status == "recognised" else "unsure"


def _said(reading: Reading) -> Said:
    return Said(reading.status, reading.digit, reading.confidence, reading.reason)
