"""Digits drawn by program: skeletons, the rule that separates 1 and 7, hands and pens."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.curves import arc, curve, line, resampled
from engine.training.hands import writing
from engine.training.hands.choices import Choices, Split
from engine.training.hands.pens import WIDEST, Pen, choose_pen, draw
from engine.training.hands.pictures import as_mnist, painted
from engine.training.hands.skeletons.ones_and_sevens import is_ambiguous
from engine.training.hands.skeletons.variants import VARIANTS
from engine.training.hands.writing import write

SPLITS: tuple[Split, Split] = ("train", "held out")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def holes(picture: NDArray[np.uint8]) -> int:
    contours, tree = cv2.findContours(picture, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return sum(
        1
        for contour, (_, _, _, parent) in zip(contours, tree[0], strict=True)
        if parent >= 0 and cv2.contourArea(contour) > 12
    )


def test_drawings_for_measuring_share_no_parameter_with_those_for_training() -> None:
    bands = {split: {math.floor(Choices(split, rng(seed)).between(0, 10)) for seed in range(500)} for split in SPLITS}
    assert bands["train"] | bands["held out"] == set(range(10))
    assert not bands["train"] & bands["held out"]


def test_every_digit_has_variants() -> None:
    assert {name[0] for name in VARIANTS} == set("0123456789")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_skeleton_is_about_1_high_and_about_as_wide(name: str, split: Split) -> None:
    for seed in range(20):
        points = np.concatenate(VARIANTS[name](Choices(split, rng(seed))).strokes)
        wide, high = np.ptp(points, axis=0)
        assert 0.85 < high < 1.3
        assert wide < 1.35


def beak(rise_degrees: float, length: float, lean_degrees: float = 0) -> NDArray[np.float64]:
    rise, lean = math.radians(rise_degrees), math.radians(lean_degrees)
    return np.array([(-length * math.cos(rise), length * math.sin(rise)), (0, 0), (-math.sin(lean), math.cos(lean))])


@pytest.mark.parametrize(
    ("digit", "rise_degrees", "length", "lean_degrees", "ambiguous"),
    [
        (1, 45, 0.6, 0, False),
        (1, 30, 0.8, 10, False),
        (1, 10, 0.2, 0, False),
        (1, 20, 0.5, 0, True),
        (1, 0, 0.3, 0, True),
        (1, 60, 0.5, 45, True),
        (7, 0, 0.6, 20, False),
        (7, -10, 0.5, 30, False),
        (7, 20, 0.6, 20, True),
        (7, 0, 0.2, 20, True),
        (7, 0, 0.6, 60, True),
    ],
)
def test_a_one_with_a_long_flat_upstroke_and_a_seven_with_a_rising_bar_are_ambiguous(
    digit: int, rise_degrees: float, length: float, lean_degrees: float, *, ambiguous: bool
) -> None:
    assert is_ambiguous(digit, beak(rise_degrees, length, lean_degrees)) == ambiguous


def test_what_is_ambiguous_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([True, True, False])
    monkeypatch.setattr(writing, "is_ambiguous", lambda *_: next(verdicts))
    write(1, VARIANTS["1 with upstroke"], Choices("train", rng()))
    assert next(verdicts, None) is None
    monkeypatch.setattr(writing, "is_ambiguous", lambda *_: True)
    with pytest.raises(ValueError, match="one_with_upstroke"):
        write(1, VARIANTS["1 with upstroke"], Choices("train", rng()))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_written_digit_fills_its_box(name: str) -> None:
    points = np.concatenate(write(int(name[0]), VARIANTS[name], Choices("train", rng())))
    np.testing.assert_allclose(points.min(axis=0), 0, atol=1e-9)
    assert points.max() == pytest.approx(1)


def test_pens_are_from_one_pixel_to_a_third_of_the_digit() -> None:
    for side_px in (12, 40, 160):
        widths = [choose_pen(rng(seed), side_px).width for seed in range(400)]
        assert 1 / side_px * 0.99 <= min(widths) or min(widths) >= 0.02
        assert min(widths) < max(0.02, 1 / side_px) * 1.2
        assert 0.9 * WIDEST < max(widths) <= WIDEST


@pytest.mark.parametrize("side_px", [40, 120])
def test_a_pen_is_as_wide_as_it_is_said_to_be(side_px: int) -> None:
    upright = line((0.0, 0.0), (0.0, 1.0))
    ink = draw([upright], Pen(0.2, soft=False), side_px, rng())
    assert np.count_nonzero(ink[len(ink) // 2]) == pytest.approx(0.2 * side_px, abs=1.5)


def test_a_wide_pen_closes_no_ring_whether_it_is_closed_or_open() -> None:
    ring = (arc((0.5, 0.5), (0.3, 0.5), 270, -90), arc((0.5, 0.5), (0.3, 0.5), 270, -60))
    for oval in ring:
        ink = draw([oval], Pen(WIDEST, soft=False), 80, rng())
        assert not ink[len(ink) // 2, ink.shape[1] // 2]
    assert holes(draw([ring[0]], Pen(WIDEST, soft=False), 80, rng())) == 1


def test_a_wide_pen_keeps_the_dot_of_a_zero_apart_from_the_ring() -> None:
    zero = [arc((0.5, 0.5), (0.4, 0.5), 270, -90), line((0.5, 0.5), (0.5, 0.52))]
    ink = draw(zero, Pen(WIDEST, soft=False), 80, rng())
    assert cv2.connectedComponents(ink)[0] == 1 + 2  # paper, ring and dot


def test_a_wide_pen_makes_no_ring_of_a_bow() -> None:
    bow = curve((0.0, 0.1), (0.4, 0.0), (0.5, 0.5), (0.2, 0.6), (0.02, 0.25))
    assert holes(draw([bow], Pen(WIDEST, soft=False), 80, rng())) == 0


def test_a_wide_pen_stays_wide_where_strokes_meet_at_a_corner() -> None:
    one = line((0.0, 0.35), (0.3, 0.0), (0.3, 1.0))
    ink = draw([one], Pen(0.25, soft=False), 80, rng())
    assert np.count_nonzero(ink[-30]) == pytest.approx(0.25 * 80, abs=2)


@pytest.mark.parametrize("name", ["1 with upstroke", "8 crossed"])
def test_paint_knows_black_and_white_only(name: str) -> None:
    for seed in range(10):
        strokes = write(int(name[0]), VARIANTS[name], Choices("train", rng(seed)))
        picture = decode(painted(strokes, rng(seed)), Limits()).pixels
        assert set(np.unique(picture)) == {0, 255}
        assert min(picture.shape) >= 20


def test_a_digit_as_mnist_has_it_is_28_px_with_a_box_of_20() -> None:
    strokes = write(4, VARIANTS["4 open"], Choices("train", rng()))
    picture = decode(as_mnist(strokes, rng()), Limits()).pixels
    assert max(picture.shape) == 28
    assert not picture[:4].any()
    assert not picture[-4:].any()


def test_points_along_a_stroke_are_at_equal_distances() -> None:
    stroke = line((0, 0), (3, 0), (3, 1))
    np.testing.assert_allclose(resampled(stroke, 5), [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)])


def test_a_curve_goes_through_its_points() -> None:
    through = [(0.0, 0.0), (1.0, 0.5), (0.5, 2.0)]
    points = curve(*through)
    for point in through:
        assert np.hypot(*(points - point).T).min() < 1e-9
