"""Ink that was taken for paper is turned, and paper is not."""

from __future__ import annotations

import numpy as np

from engine.canvas.planes import unpacked
from engine.canvas.scenes.turning import measure_rims, turn_filled
from tests.harness.drawn_digits import cut, drawn, packed


def test_a_one_that_fills_its_picture_is_ink() -> None:
    stroke = cut(drawn([(50, 10), (53, 90)], pen=14))
    assert stroke.mean() > 0.7
    planes = packed(1 - stroke)
    turn_filled(planes, np.zeros(1, np.float32), measure_rims(planes))
    assert np.allclose(unpacked(planes, 0), stroke)


def test_paper_with_ink_at_its_rim_is_not_turned() -> None:
    ink = drawn([(0, 40), (30, 40)], [(99, 10), (60, 30)], [(50, 60), (50, 80)])
    planes = packed(ink)
    turn_filled(planes, np.zeros(1, np.float32), measure_rims(planes))
    assert np.array_equal(unpacked(planes, 0), ink)
