"""A surface is looked at alone."""

from __future__ import annotations

import cv2
import numpy as np

from engine.canvas.scenes.cutting import cut_out


def test_around_a_surface_its_own_colour_goes_on() -> None:
    picture = np.full((100, 100, 3), (20, 160, 40), np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(picture, (50, 50), 40, (200, 180, 90), -1)
    cv2.circle(mask, (50, 50), 37, 1, -1)
    picture[40:60, 48:52] = 0
    view = cut_out(picture, mask)
    assert view.shape == (75, 75, 3)
    assert np.abs(view[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - (200, 180, 90)).max() <= 1
    assert np.array_equal(view[28:47, 36:38], picture[41:60, 49:51])
