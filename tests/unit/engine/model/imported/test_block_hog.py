"""HOG as scikit-image computes it, without scikit-image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.feature import hog as skimage_hog

from engine.model.imported.block_hog import BlockHog

DIGITS = sorted((Path(__file__).parents[4] / "data" / "digits").glob("*.png"))


def described(images: NDArray[Any], hog: BlockHog) -> NDArray[np.float64]:
    return np.array(
        [
            skimage_hog(
                image,
                hog.orientations,
                (hog.pixels_per_cell,) * 2,
                (hog.cells_per_block,) * 2,
                block_norm=hog.block_norm,
                transform_sqrt=hog.transform_sqrt,
            )
            for image in images
        ]
    )


@pytest.mark.parametrize(
    "hog",
    [
        BlockHog(9, 7, 2),
        BlockHog(),
        BlockHog(8, 4, 2, "L1"),
        BlockHog(9, 5, 3, "L1-sqrt"),
        BlockHog(12, 7, 1, "L2", transform_sqrt=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("white", [1, 255])
def test_features_equal_those_of_scikit_image(hog: BlockHog, white: int) -> None:
    read = np.array([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in DIGITS])
    images = read.astype(np.float64) * (white / 255)
    np.testing.assert_allclose(hog.describe(images), described(images, hog), atol=1e-6)


def test_a_picture_that_is_smaller_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than one block of 24 px"):
        BlockHog().features(20)
