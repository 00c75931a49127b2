"""Pictures in the form of an imported model's training pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.decode import Picture
from engine.model.frame import Frame


def picture(side_px: int, *channels: int) -> NDArray[np.uint8]:
    pixels = np.zeros((side_px, side_px, *channels), np.uint8)
    pixels[side_px // 4 : side_px // 2, side_px // 3 : side_px // 2] = 200
    return pixels


def prepared(*pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return Frame().prepare([Picture(each) for each in pictures]).digits


def test_pictures_of_all_forms_in_one_batch_are_prepared_as_each_alone() -> None:
    forms = [
        picture(28),
        255 - picture(28),
        picture(28, 3),
        picture(28, 2),
        picture(28, 4),
        picture(100),
        picture(9, 3),
    ]
    together = prepared(*forms)
    for alone, of_batch in zip((prepared(each)[0] for each in forms), together, strict=True):
        np.testing.assert_array_equal(alone, of_batch)
    assert prepared().shape == (0, 28, 28)


def test_ink_is_bright_whatever_it_was() -> None:
    bright, dark = prepared(picture(28), 255 - picture(28))
    np.testing.assert_array_equal(bright, picture(28) / np.float32(255))
    np.testing.assert_array_equal(dark, bright)


def test_colours_become_grey_as_pillow_does() -> None:
    red = np.zeros((28, 28, 3), np.uint8)
    red[10:18, 10:18, 0] = 255
    (digit,) = prepared(red)
    assert digit.max() == np.float32(76) / np.float32(255)


def test_a_picture_of_another_size_is_resized() -> None:
    (digit,) = prepared(picture(100))
    expected = cv2.resize(picture(100) / np.float32(255), (28, 28), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(digit, expected)


def test_the_256_greys_come_out_exactly_in_the_range_of_the_training_pictures() -> None:
    greys = np.zeros((28, 28), np.uint8)
    greys[6:22, 6:22] = np.arange(256).reshape(16, 16)
    digits = prepared(greys)
    np.testing.assert_array_equal(Frame(white=255).to_training_range(digits)[0], greys)
    np.testing.assert_array_equal(Frame(white=255, bright_ink=False).to_training_range(digits)[0], 255.0 - greys)
