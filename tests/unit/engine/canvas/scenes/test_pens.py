"""Outlined and dotted digits get strokes, and nothing else does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.canvas.components import find_components
from engine.canvas.scenes.pens import fill_outlined, join_dotted
from tests.harness.drawn_digits import FOUR, SAMPLES, SEVEN, TWO, drawn, packed, padded


@pytest.mark.parametrize("lines", [(TWO,), (SEVEN,), FOUR], ids=["2", "7", "4"])
def test_an_outlined_digit_is_filled(lines: tuple[list[tuple[int, int]], ...]) -> None:
    body = (drawn(*lines, pen=14) > 0).astype(np.uint8)
    outline = cv2.morphologyEx(body, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
    assert fill_outlined(outline)
    assert (outline[body > 0] == 1).all()


def test_the_loops_of_a_digit_are_not_filled() -> None:
    for sample in SAMPLES:
        assert not fill_outlined(padded(sample, 4, 6))


def test_dots_along_strokes_are_joined_and_specks_are_not() -> None:
    ink = np.zeros((100, 100), np.float32)
    for y in range(10, 95, 8):
        cv2.circle(ink, (50, y), 2, 1.0, -1)
    found = find_components(packed(ink))
    assert join_dotted(ink, found.boxes, found.masses)
    assert len(find_components(packed(ink)).masses) == 1
    specks = np.zeros((100, 100), np.float32)
    for y, x in np.random.default_rng(7).integers(3, 95, (12, 2)):
        specks[y : y + 3, x : x + 3] = 1
    found = find_components(packed(specks))
    before = specks.copy()
    assert not join_dotted(specks, found.boxes, found.masses)
    assert np.array_equal(specks, before)
