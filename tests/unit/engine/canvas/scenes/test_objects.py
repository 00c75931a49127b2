"""What lies beside the digit goes, and what may belong to it stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.canvas.components import find_components
from engine.canvas.scenes.objects import erase_combs, find_objects
from tests.harness.drawn_digits import FIVE, drawn, packed


def test_a_finger_at_the_edge_and_punch_holes_are_no_writing_and_a_near_dot_is() -> None:
    ink = drawn([(50, 30), (50, 80)])
    ink[0:20, 70:90] = 1
    for y in (25, 75):
        cv2.circle(ink, (8, y), 4, 1.0, -1)
    ink[20:25, 48:53] = 1
    found = find_components(packed(ink))
    objects = find_objects((100, 100), found.boxes, found.masses, found.runs)
    assert found.boxes[~objects].tolist() == [[20, 48, 25, 53], [26, 46, 85, 55]]


def test_of_writing_at_the_edge_alone_nothing_is_erased() -> None:
    found = find_components(packed(drawn([(0, 20), (40, 20)], [(60, 99), (60, 60)])))
    assert not find_objects((100, 100), found.boxes, found.masses, found.runs).any()


@pytest.mark.parametrize("gap", [0, 3], ids=["touching", "apart"])
def test_a_comb_goes_and_the_digit_between_its_teeth_stays(gap: int) -> None:
    ink = np.zeros((60, 120), np.float32)
    ink[50:52, 10:110] = 1
    for x in range(10, 111, 25):
        ink[38:50, x : x + 2] = 1
    three = cv2.resize(drawn(FIVE), (20, 34)) > 0.5
    ink[16 - gap : 50 - gap, 62:82] += three
    found = find_components(packed(ink))
    assert erase_combs(ink, found.boxes, found.masses, found.runs)
    assert not ink[50:52].any()
    assert not ink[:, :60].any()
    assert ink[16 - gap : 46 - gap, 62:82].sum() > 0.9 * three[:30].sum()


def test_the_foot_of_a_two_is_no_comb() -> None:
    ink = drawn([(20, 40), (40, 20), (60, 20), (62, 40), (12, 70), (90, 70)])
    found = find_components(packed(ink))
    before = ink.copy()
    erase_combs(ink, found.boxes, found.masses, found.runs)
    assert np.array_equal(ink, before)
