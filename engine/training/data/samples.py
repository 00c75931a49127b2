"""Prepares training samples by sending disturbed pictures through the decoder and the canvas of the service.

Defects that the canvas cannot undo (a rest of a ruled line, the blur of a small scan, a box enlarged by noise) are
thus part of the training data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import EVIDENCE, normalise
from engine.codecs.decode import Picture, decode
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.hog import SIDE_PX
from engine.model.svm import Floats
from engine.training.data.negatives.kinds import negatives
from engine.training.data.negatives.split import Split
from engine.training.data.slots import SLOTS

_PART = 250
_CANVAS_BATCH = 50


class Samples(NamedTuple):
    """The canvas's output for n pictures, as bytes so that many fit in memory."""

    digits: NDArray[np.uint8]
    """(n, 28, 28): 0 paper, 255 ink."""
    evidence: Floats
    """(n, e)"""


def prepare(pictures: list[bytes]) -> Samples:
    """Send encoded images through decoder and canvas; a picture that cannot be decoded becomes blank."""
    limits = Limits()
    digits = np.empty((len(pictures), SIDE_PX, SIDE_PX), np.uint8)
    evidence = np.empty((len(pictures), len(EVIDENCE)), np.float32)
    for first in range(0, len(pictures), _CANVAS_BATCH):
        part = slice(first, first + _CANVAS_BATCH)
        canvas = normalise([_decoded(data, limits) for data in pictures[part]])
        digits[part] = np.rint(canvas.digits * 255)
        evidence[part] = canvas.evidence
    return Samples(digits, evidence)


def prepare_in_parallel(pictures: Sequence[bytes]) -> Samples:
    """Send encoded images through decoder and canvas, on all cores."""
    work = joblib.Parallel(n_jobs=os.cpu_count())
    parts = work(joblib.delayed(prepare)(pictures[first : first + _PART]) for first in range(0, len(pictures), _PART))
    return joined(parts)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode one picture."""
    encoded: NDArray[np.uint8] = cv2.imencode(".png", pixels)[1]
    return encoded.tobytes()


def disturbed_samples(digits: NDArray[np.uint8], seed: int, advance: Callable[[], None]) -> Samples:
    """Disturb each digit once for each slot, on all cores.

    Parameters
    ----------
    digits : (n, 28, 28) uint8
        0 paper, 255 ink.
    seed
        Seed of all random choices; the result does not depend on the number of cores.
    advance
        Called whenever a part is done.

    Returns
    -------
    samples
        Of len(SLOTS) * n pictures: slot by slot, each in the order of the digits.
    """
    jobs = [
        (slot, first, np.random.SeedSequence((seed, slot, first)))
        for slot in range(len(SLOTS))
        for first in range(0, len(digits), _PART)
    ]
    parts: list[Samples] = []
    work = joblib.Parallel(n_jobs=os.cpu_count(), return_as="generator")
    for part in work(
        joblib.delayed(_disturbed)(digits[first : first + _PART], slot, source) for slot, first, source in jobs
    ):
        parts.append(part)
        advance()
    return joined(parts)


def negative_samples(kind: str, count: int, split: Split, digits: NDArray[np.uint8], seed: tuple[int, ...]) -> Samples:
    """Make pictures without a digit, or with several, and prepare them, on all cores.

    Parameters
    ----------
    kind
        One of `engine.training.data.negatives.kinds.KINDS`.
    count
        How many pictures.
    split
        The kinds that are learned, or those that never are.
    digits : (n, 28, 28) uint8
        For the kinds that are made of digits.
    seed
        Seed of all random choices; the result does not depend on the number of cores.
    """
    work = joblib.Parallel(n_jobs=os.cpu_count())
    parts = work(
        joblib.delayed(_foreign)(kind, min(_PART, count - first), split, digits, np.random.SeedSequence((*seed, first)))
        for first in range(0, count, _PART)
    )
    return joined(parts)


def joined(parts: Sequence[Samples]) -> Samples:
    """Concatenate the samples of several parts."""
    return Samples(np.concatenate([part.digits for part in parts]), np.concatenate([part.evidence for part in parts]))


def count_parts(count: int) -> int:
    """Count how often `disturbed_samples` will call `advance`."""
    return len(SLOTS) * -(-count // _PART)


def _disturbed(digits: NDArray[np.uint8], slot: int, source: np.random.SeedSequence) -> Samples:
    """Disturb one part of the digits, each in one of the slot's ways."""
    rng = np.random.default_rng(source)
    kinds = rng.integers(0, len(SLOTS[slot]), len(digits))
    return prepare([SLOTS[slot][kind](digit, rng) for kind, digit in zip(kinds, digits, strict=True)])


def _foreign(kind: str, count: int, split: Split, digits: NDArray[np.uint8], source: np.random.SeedSequence) -> Samples:
    """Make and prepare one part of the pictures without a digit."""
    return prepare(negatives(kind, count, np.random.default_rng(source), split, digits))


def _decoded(data: bytes, limits: Limits) -> Picture:
    try:
        return decode(data, limits)
    except EngineError:
        return Picture(np.zeros((SIDE_PX, SIDE_PX), np.uint8))
