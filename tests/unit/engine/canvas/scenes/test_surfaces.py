"""A plate, sheet or box with something on it is a surface, and no digit is one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.canvas.scenes.pens import fill_outlined
from engine.canvas.scenes.surfaces import find_surface
from tests.harness.drawn_digits import SAMPLES, SEVEN, Ink, drawn, padded


def plate(shape: str) -> Ink:
    mask = np.zeros((100, 100), np.float32)
    if shape == "disc":
        cv2.circle(mask, (50, 50), 46, 1.0, -1)
    elif shape == "diamond":
        cv2.fillPoly(mask, [np.array([(50, 2), (98, 50), (50, 98), (2, 50)])], 1.0)
    else:
        cv2.fillPoly(mask, [np.array([(20, 5), (95, 18), (82, 92), (6, 80)])], 1.0)
    return mask


@pytest.mark.parametrize("shape", ["disc", "diamond", "turned sheet"])
@pytest.mark.parametrize("digit", range(10))
def test_a_plate_with_a_digit_is_a_surface(shape: str, digit: int) -> None:
    sample = next(sample for number, sample in enumerate(SAMPLES) if number // 4 == digit)
    ink = padded(sample, 2, 22)
    for taken_for_ink in (plate(shape) * (1 - ink), (1 - plate(shape)) + ink * plate(shape)):
        surface = find_surface(taken_for_ink)
        assert surface is not None
        assert not surface.is_bare
        assert not (surface.mask * (1 - plate(shape))).any()
        assert surface.mask[30:70, 30:70].all()


def test_no_digit_on_plain_paper_is_a_surface_with_something_on_it() -> None:
    for sample in SAMPLES:
        surface = find_surface(padded(sample, 4, 6))
        assert surface is None or surface.is_bare


def test_a_dotted_zero_is_no_surface() -> None:
    ink = np.zeros((100, 100), np.float32)
    cv2.ellipse(ink, (50, 50), (28, 40), 0, 0, 360, 1.0, 8)
    cv2.circle(ink, (50, 50), 5, 1.0, -1)
    surface = find_surface(ink)
    assert surface is None or surface.is_bare


def test_within_the_outline_of_a_hollow_eight_is_no_surface() -> None:
    body = np.zeros((100, 100), np.uint8)
    for y in (32, 66):
        cv2.ellipse(body, (50, y), (18, 20), 0, 0, 360, 1, 13)
    outline = cv2.morphologyEx(body, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
    assert find_surface(outline) is None
    assert fill_outlined(outline)
    assert (outline[body > 0] == 1).all()


def test_of_two_filled_boxes_none_is_chosen() -> None:
    ink = np.zeros((60, 120), np.float32)
    for left in (5, 65):
        cv2.rectangle(ink, (left, 5), (left + 50, 55), 1.0, 2)
        ink[15:45, left + 12 : left + 42] = cv2.resize(drawn(SEVEN), (30, 30)) > 0.5
    assert find_surface(ink) is None
    ink[15:45, 77:107] = 0
    assert find_surface(ink) is not None
