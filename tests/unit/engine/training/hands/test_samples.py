"""Samples of other hands: what the canvas makes of scans, pen tracks and drawn digits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import decode
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.training.curves import arc, line
from engine.training.hands.folder import Hands
from engine.training.hands.pen_tracks import PenTracks
from engine.training.hands.pictures import scan_reduced
from engine.training.hands.samples import Copies, HandSamples, Job, held_out_jobs, run, training_jobs
from engine.training.hands.scans import Scans
from engine.training.hands.skeletons.variants import VARIANTS
from models import default_model

FEW = Copies(scan=2, track=3, variant=2)


def some_hands(count: int = 12) -> Hands:
    """Zeros as scans, and ones as pen tracks."""
    bitmaps = np.zeros((count, 32, 32), np.uint8)
    oval = np.rint(arc((16, 16), (9, 13), 0, 360)).astype(np.int64)
    for x, y in oval:
        bitmaps[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    points = np.array([line((0.5, 0.0), (0.5, 1.0))[:8]] * count)
    return Hands(Scans(bitmaps, np.zeros(count, np.int64)), PenTracks(points, np.ones(count, np.int64)))


def flat(kinds: Iterable[list[Job]]) -> list[Job]:
    return [job for jobs in kinds for job in jobs]


def made(jobs: list[Job]) -> HandSamples:
    return run(jobs, lambda: None)


def test_training_has_each_scan_and_track_several_times_and_ones_and_sevens_more_often() -> None:
    labels = made(training_jobs(some_hands(), FEW, 0)).labels
    variants = [int(name[0]) for name in VARIANTS]
    assert np.count_nonzero(labels == 0) == 12 * 2 + 2 * variants.count(0)
    assert np.count_nonzero(labels == 1) == 12 * 3 + 4 * variants.count(1)
    assert np.count_nonzero(labels == 7) == 4 * variants.count(7)
    assert np.count_nonzero(labels == 8) == 2 * variants.count(8)


def test_without_a_folder_of_other_hands_only_drawn_digits_are_left() -> None:
    assert len(made(training_jobs(None, FEW, 0)).labels) == 2 * len(VARIANTS) + 2 * sum(
        name[0] in "17" for name in VARIANTS
    )
    assert list(held_out_jobs(None, 1)) == list(VARIANTS)


def test_samples_depend_on_the_seed_alone() -> None:
    once, again, other = (made(training_jobs(some_hands(), FEW, seed)).samples.digits for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_no_picture_is_blank() -> None:
    samples = made(flat(held_out_jobs(some_hands(), 5).values())).samples
    assert samples.digits.max(axis=(1, 2)).min() > 100


def test_a_reduced_scan_counts_the_ink_of_4x4_pixels() -> None:
    bitmap = np.zeros((32, 32), np.uint8)
    bitmap[:4, 4:8] = 255
    bitmap[4:6, :2] = 255
    reduced = decode(scan_reduced(bitmap, np.random.default_rng(0)), Limits()).pixels
    assert reduced.shape == (8, 8)
    assert reduced[0, 1] == 255
    assert reduced[1, 0] == 64  # 4 of 16
    assert np.count_nonzero(reduced) == 2


@pytest.mark.parametrize("variant", ["0 plain", "3 round", "4 open", "5 plain", "6 straight", "9 straight"])
def test_a_drawn_digit_is_what_it_is_said_to_be(variant: str) -> None:
    samples, labels, _ = made(held_out_jobs(None, 30)[variant])
    classifier = Classifier.load(default_model())
    decision = classifier.decide(Canvas(samples.digits.astype(np.float32) / np.float32(255), samples.evidence))
    assert np.count_nonzero(decision.labels == labels) >= 27
