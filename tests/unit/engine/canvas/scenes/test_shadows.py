"""A shadow with an edge is no ink."""

from __future__ import annotations

import numpy as np
import pytest

from engine.canvas.pipeline import normalise
from engine.canvas.planes import unpacked
from engine.canvas.scenes.shadows import repair_shadows
from engine.codecs.decode import Picture
from tests.harness.drawn_digits import SAMPLES, TWO, drawn, enlarged, packed, rounded


@pytest.mark.parametrize("depth", [0.3, 0.5])
def test_a_shadow_with_an_edge_is_no_ink(depth: float) -> None:
    y, x = np.mgrid[-1:1:112j, -1:1:112j]
    random = np.random.default_rng(4)
    pictures = []
    for number, sample in enumerate(SAMPLES):
        light = 1 - depth * np.clip((x + (number % 5 - 2) * 0.3 * y) * 12, 0, 1)
        page = (235 - 200 * (enlarged(sample, 4) / 255)) * light
        pictures.append(rounded(page + random.normal(0, 2, page.shape)))
    seen, expected = (normalise([Picture(each) for each in some]).digits for some in (pictures, SAMPLES))
    shifted = np.stack([np.roll(seen, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)])
    assert np.quantile(np.abs(shifted - expected).mean(axis=(2, 3)).min(axis=0), 0.9) < 0.06


def test_where_the_fitted_surface_holds_nothing_is_repaired() -> None:
    ink = packed(drawn(TWO))
    before = unpacked(ink, 0).copy()
    planes = packed(220 - 150 * before)
    measured = (np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert not repair_shadows(planes, np.array([-1], np.float32), ink, measured)
    assert np.array_equal(unpacked(ink, 0), before)


def test_shade_along_the_side_of_a_slim_blank_page_is_no_stroke() -> None:
    page = np.full((100, 36), 200, np.float32)
    page[:, :6] -= 60
    ink = packed(np.zeros_like(page))
    measured = (np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert not repair_shadows(packed(page), np.array([-1], np.float32), ink, measured)
    page = np.roll(page, 12, axis=1)  # with paper on both sides it is a 1
    assert repair_shadows(packed(page), np.array([-1], np.float32), ink, measured)
    assert unpacked(ink, 0)[50, 15] == 1
