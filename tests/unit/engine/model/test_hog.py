"""The features: held against arithmetic done by hand, and against what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from engine.model.hog import BINS, FEATURES, FINE_FEATURES, FINE_NODES, SIDE_PX, Floats, hog
from engine.model.reference_digits import as_ink, draw_reference_digits


def digits() -> Floats:
    return as_ink(draw_reference_digits())


def strongest_bin(features: Floats) -> int:
    """The direction with the most gradient, over all nodes of the fine grid."""
    return int((features[:FINE_FEATURES] ** 2).reshape(-1, BINS).sum(axis=0).argmax())


def bar(*, across: bool) -> Floats:
    picture = np.zeros((1, SIDE_PX, SIDE_PX), np.float32)
    if across:
        picture[0, 13:15, 4:24] = 1
    else:
        picture[0, 4:24, 13:15] = 1
    return picture


def test_a_digit_becomes_306_numbers_of_which_each_grid_has_length_one() -> None:
    features = hog(digits())
    assert features.shape == (10, FEATURES) == (10, 306)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features[:, :FINE_FEATURES], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features[:, FINE_FEATURES:], axis=1), 1, rtol=1e-5)


def test_a_blank_digit_has_no_features() -> None:
    assert not hog(np.zeros((3, SIDE_PX, SIDE_PX), np.float32)).any()


def test_no_digits_give_no_features() -> None:
    assert hog(np.zeros((0, SIDE_PX, SIDE_PX), np.float32)).shape == (0, FEATURES)


def test_each_digit_is_described_alone_whatever_else_is_in_the_batch() -> None:
    together = hog(digits())
    alone = np.concatenate([hog(digit[None]) for digit in digits()])
    backwards = hog(np.ascontiguousarray(digits()[::-1]))[::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, backwards)


def test_an_upright_bar_and_a_lying_one_fill_different_bins() -> None:
    # Bins lie 40 degrees apart: the sides of an upright bar point to 0 and 180, those of a lying one to 90 and 270.
    assert strongest_bin(hog(bar(across=False))[0]) == 0
    assert strongest_bin(hog(bar(across=True))[0]) in {2, 6, 7}


def test_a_slanted_stroke_looks_like_an_upright_one() -> None:
    slanted = np.zeros((1, SIDE_PX, SIDE_PX), np.float32)
    for y in range(4, 24):
        left = 13 + (14 - y) / 4
        whole = int(left)
        slanted[0, y, whole : whole + 3] = (1 - (left - whole), 1, left - whole)
    likeness = float(hog(slanted)[0] @ hog(bar(across=False))[0]) / 2
    turned = float(hog(bar(across=True))[0] @ hog(bar(across=False))[0]) / 2
    assert likeness > 0.95 > turned


def test_ink_twice_as_dark_is_the_same_digit() -> None:
    np.testing.assert_allclose(hog(digits() * np.float32(0.5)), hog(digits()), atol=2e-4)


def test_pooling_agrees_with_arithmetic_done_slowly() -> None:
    # A single dot in the middle of blank paper: its four neighbours have one gradient each, straight away from it.
    dot = np.zeros((1, SIDE_PX, SIDE_PX), np.float32)
    dot[0, 13, 14] = 1
    features = hog(dot)[0]
    expected = np.zeros((SIDE_PX, SIDE_PX, BINS))
    middle = 13.5  # deskewing moves the dot to the middle between left and right, over two columns
    ink = np.zeros((SIDE_PX + 2, SIDE_PX + 2))
    ink[14, 14:16] = 0.5
    for y in range(SIDE_PX):
        for x in range(SIDE_PX):
            right, down = ink[y + 1, x + 2] - ink[y + 1, x], ink[y + 2, x + 1] - ink[y, x + 1]
            turn = np.arctan2(down, right) / (2 * np.pi) % 1 * BINS
            low = int(turn) % BINS
            expected[y, x, low] += np.hypot(right, down) * (1 - turn % 1)
            expected[y, x, (low + 1) % BINS] += np.hypot(right, down) * (turn % 1)
    nodes = middle + 5 * (np.arange(FINE_NODES) - 2)
    weights = np.maximum(0, 1 - np.abs(np.arange(SIDE_PX)[:, None] - nodes) / 5)
    pooled = np.einsum("yxb,yi,xj->jib", expected, weights, weights).ravel()
    np.testing.assert_allclose(features[:FINE_FEATURES], np.sqrt(pooled / pooled.sum()), atol=5e-3)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((SIDE_PX, SIDE_PX), np.float32), np.zeros((1, 20, 20), np.float32), np.zeros((1, SIDE_PX, SIDE_PX))],
    ids=["one digit without a batch", "another size", "double precision"],
)
def test_other_shapes_and_types_are_refused(wrong: Floats) -> None:
    with pytest.raises(ValueError, match=r"\(n, 28, 28\) float32"):
        hog(wrong)
