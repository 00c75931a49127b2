"""Lines of the page go; the bar, foot or stem of a digit, and strokes that cross a line, stay."""

from __future__ import annotations

import numpy as np
import pytest

from engine.canvas.components import find_components
from engine.canvas.planes import unpacked
from engine.canvas.ruling.erasing import erase_lines
from tests.harness.drawn_digits import FIVE, FOOTED_ONE, FOUR, SEVEN, TWO, cut, drawn, packed


def test_a_line_goes_and_the_stroke_that_crosses_it_stays() -> None:
    picture = np.zeros((60, 60), np.float32)
    picture[30, :] = 1
    picture[10:50, 25:30] = 1
    planes = packed(picture)
    erased = erase_lines(planes, find_components(planes))
    expected = np.zeros((60, 60), np.float32)
    expected[10:50, 25:30] = 1
    assert np.array_equal(unpacked(planes, 0), expected)
    assert erased[0] == pytest.approx(55 / 255)


@pytest.mark.parametrize("lines", [(SEVEN,), (TWO,), (FIVE,), (FOOTED_ONE,), FOUR], ids=["7", "2", "5", "1", "4"])
def test_a_digit_cut_to_its_ink_keeps_its_bar(lines: tuple[list[tuple[int, int]], ...]) -> None:
    ink = cut(drawn(*lines))
    planes = packed(ink)
    assert erase_lines(planes, find_components(planes))[0] == 0
    assert np.array_equal(unpacked(planes, 0), ink)


@pytest.mark.parametrize("rules", [[50], [30, 80]], ids=["one rule", "two rules"])
def test_a_rule_through_a_digit_within_its_page_still_goes(rules: list[int]) -> None:
    ink = drawn(SEVEN, sides=(130, 110))
    ruled = ink.copy()
    ruled[rules] = 1
    planes = packed(np.roll(ruled, 20, axis=0))
    assert erase_lines(planes, find_components(planes))[0] > 0.05


def test_a_frame_around_the_picture_is_no_cropped_digit() -> None:
    ink = drawn(SEVEN)
    ink[[0, -1]] = ink[:, [0, -1]] = 1
    planes = packed(ink)
    assert erase_lines(planes, find_components(planes))[0] > 0.1
