"""The features that an imported model was trained with, by the names that the import and the manifest have for them.

pixels         the pixels of the picture, row by row
skimage-hog    `skimage.feature.hog` of the picture
engine-hog     the 306 features of this project's own model, `engine.model.hog`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np

from engine.model.hog import FEATURES, SIDE_PX, hog
from engine.model.imported.block_hog import BlockHog
from engine.model.svm import Doubles

NAMES: Final = ("skimage-hog", "pixels", "engine-hog")


class Features(Protocol):
    """The interface of all of them."""

    def features(self, side_px: int) -> int:
        """Count the features of a picture of `side_px` by `side_px`; `ValueError` if it has none."""
        ...

    def describe(self, pictures: Doubles) -> Doubles:
        """Describe each picture (n, side, side), in the range of the training pictures: (n, d)."""
        ...


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels themselves."""

    def features(self, side_px: int) -> int:
        """As in the interface."""
        return side_px * side_px

    def describe(self, pictures: Doubles) -> Doubles:
        """As in the interface."""
        return pictures.reshape(len(pictures), -1)


@dataclass(frozen=True, slots=True)
class EngineHog:
    """The features of this project's own model."""

    def features(self, side_px: int) -> int:
        """As in the interface."""
        if side_px != SIDE_PX:
            raise ValueError(f"engine-hog describes pictures of {SIDE_PX} px, not {side_px}")
        return FEATURES

    def describe(self, pictures: Doubles) -> Doubles:
        """As in the interface; 0 is paper, 1 is ink."""
        return hog(pictures.astype(np.float32)).astype(np.float64)


def about(features: Features) -> dict[str, Any]:
    """Return what the manifest says about the features."""
    if isinstance(features, BlockHog):
        return {"features": "skimage-hog", "hog": asdict(features)}
    return {"features": "pixels" if isinstance(features, Pixels) else "engine-hog"}


def from_about(manifest: Mapping[str, Any]) -> Features:
    """Find the features that a manifest describes; those of before version 0.2.0 have `hog` only.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they are unknown or their parameters do not fit.
    """
    name = manifest.get("features", "skimage-hog")
    if name not in NAMES:
        raise ValueError(f"features must be one of {', '.join(NAMES)}, not {name}")
    if name == "skimage-hog":
        return BlockHog(**manifest["hog"])
    return Pixels() if name == "pixels" else EngineHog()
