"""Prepares digits of other hands as samples: pictures are made of them, and go through decoder and canvas.

train     each scan and each pen track several times; each variant of the drawn digits, 1 and 7 more often
held out  scans and pen tracks of other writers; each variant from other parameters and other random choices
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from engine.training.data.samples import Samples, joined, prepare
from engine.training.hands.choices import Choices, Split
from engine.training.hands.folder import Hands
from engine.training.hands.pen_tracks import PenTracks
from engine.training.hands.pictures import (
    PICTURES,
    SCAN_PICTURES,
    Picture,
    Scanned,
    scan_as_it_is,
    scan_reduced,
)
from engine.training.hands.scans import Scans
from engine.training.hands.skeletons.variants import VARIANTS
from engine.training.hands.writing import rewritten, write

_PART = 250
_CONFUSED: Final = "17"
_HELD_OUT_SEED: Final = 10_000  # training starts from small seeds


@dataclass(frozen=True, slots=True)
class Copies:
    """How many pictures are made for training."""

    scan: int = 8
    """Of each scan."""
    track: int = 4
    """Of each pen track."""
    variant: int = 800
    """Of each variant; twice as many of those of 1 and 7."""

    def scaled(self, digits: int) -> Copies:
        """Make fewer for a training with few digits of the first collection."""
        return Copies(
            scan=min(self.scan, 1 + digits // 6_000),
            track=min(self.track, 1 + digits // 12_000),
            variant=min(self.variant, 1 + digits // 60),
        )


class HandSamples(NamedTuple):
    """n prepared pictures and their labels."""

    samples: Samples
    labels: NDArray[np.int64]
    """(n,)"""
    drawn_as: NDArray[np.str_]
    """(n,): which function of `engine.training.hands.pictures` made each."""


Job = Callable[[], HandSamples]
"""Makes and prepares some pictures."""


def training_jobs(hands: Hands | None, copies: Copies, seed: int) -> list[Job]:
    """List what `run` has to do for the training's pictures.

    Parameters
    ----------
    hands
        Scans and pen tracks; None for drawn digits alone.
    copies
        How many pictures of each.
    seed
        Seed of all random choices; the result does not depend on the number of cores.
    """
    jobs = []
    if hands is not None:
        jobs += _of_scans(hands.scans, SCAN_PICTURES, copies.scan, seed)
        jobs += _of_tracks(hands.tracks, copies.track, seed)
    for variant in VARIANTS:
        count = copies.variant * (2 if variant[0] in _CONFUSED else 1)
        jobs += _of_variant(variant, "train", count, seed)
    return jobs


def held_out_jobs(hands: Hands | None, each: int) -> dict[str, list[Job]]:
    """List what `run` has to do for the pictures that a model is measured with, by their kind.

    Parameters
    ----------
    hands
        Scans and pen tracks that are not learned from; None for drawn digits alone.
    each
        How many pictures of each variant.
    """
    seed = _HELD_OUT_SEED
    kinds: dict[str, list[Job]] = {}
    if hands is not None:
        kinds["scans"] = _of_scans(hands.scans, (scan_as_it_is,), 1, seed)
        kinds["scans of 8 px"] = _of_scans(hands.scans, (scan_reduced,), 1, seed)
        kinds["pen tracks"] = _of_tracks(hands.tracks, 2, seed)
    return kinds | {variant: _of_variant(variant, "held out", each, seed) for variant in VARIANTS}


def run(jobs: Sequence[Job], advance: Callable[[], None]) -> HandSamples:
    """Make and prepare pictures on all cores; `advance` is called after each job."""
    parts = []
    for part in joblib.Parallel(n_jobs=os.cpu_count(), return_as="generator")(joblib.delayed(job)() for job in jobs):
        parts.append(part)
        advance()
    return HandSamples(
        joined([part.samples for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.drawn_as for part in parts]),
    )


def _of_scans(scans: Scans, pictures: Sequence[Scanned], copies: int, seed: int) -> list[Job]:
    return [
        partial(_scanned, scans.part(part), pictures, (seed, 0, copy, part.start))
        for copy in range(copies)
        for part in _parts(len(scans.labels))
    ]


def _of_tracks(tracks: PenTracks, copies: int, seed: int) -> list[Job]:
    return [
        partial(_tracked, tracks.part(part), (seed, 1, copy, part.start))
        for copy in range(copies)
        for part in _parts(len(tracks.labels))
    ]


def _of_variant(variant: str, split: Split, count: int, seed: int) -> list[Job]:
    number = list(VARIANTS).index(variant)
    return [
        partial(_drawn, variant, split, part.stop - part.start, (seed, 2, number, part.start)) for part in _parts(count)
    ]


def _parts(count: int) -> Iterable[slice]:
    return (slice(first, min(first + _PART, count)) for first in range(0, count, _PART))


def _scanned(scans: Scans, pictures: Sequence[Scanned], seed: tuple[int, ...]) -> HandSamples:
    """Show each scan as one of the pictures."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(pictures), len(scans.labels))
    made = [pictures[kind](bitmap, rng) for kind, bitmap in zip(kinds, scans.bitmaps, strict=True)]
    return HandSamples(prepare(made), scans.labels, _names(pictures, kinds))


def _tracked(tracks: PenTracks, seed: tuple[int, ...]) -> HandSamples:
    """Draw each pen track with any pen."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(PICTURES), len(tracks.labels))
    made = [PICTURES[kind]([rewritten(track, rng)], rng) for kind, track in zip(kinds, tracks.points, strict=True)]
    return HandSamples(prepare(made), tracks.labels, _names(PICTURES, kinds))


def _drawn(variant: str, split: Split, count: int, seed: tuple[int, ...]) -> HandSamples:
    """Write one variant and draw it with any pen."""
    rng = np.random.default_rng(seed)
    digit, choices = int(variant[0]), Choices(split, rng)
    kinds = rng.integers(0, len(PICTURES), count)
    made = [PICTURES[kind](write(digit, VARIANTS[variant], choices), rng) for kind in kinds]
    return HandSamples(prepare(made), np.full(count, digit, np.int64), _names(PICTURES, kinds))


def _names(pictures: Sequence[Picture] | Sequence[Scanned], kinds: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.array([picture.__name__ for picture in pictures])[kinds]
