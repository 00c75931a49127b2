"""Cuts a surface out of its picture, at full resolution; what lies around it gets the colour of the surface.

The picture of the surface is then processed like any other: a surface on it (a badge with a rim) is then found, too.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.planes import reduce

_VIEW_MAX_PX = 512
_GRAIN = 12.0  # grey levels from the median: certainly the surface


def cut_out(whole: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture of the surface alone.

    Parameters
    ----------
    whole : (h, w) or (h, w, 3) uint8
        The picture.
    mask : (h / n, w / n) uint8
        Of the surface, in the picture reduced by n.
    """
    rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    down, across = whole.shape[0] // mask.shape[0], whole.shape[1] // mask.shape[1]
    view = reduce(whole[top * down : bottom * down, left * across : right * across], _VIEW_MAX_PX)
    size = view.shape[1::-1]
    inside = cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST) > 0
    surface = _surface_of(view, mask[top:bottom, left:right])
    return np.where(inside.reshape(*inside.shape, *[1] * (view.ndim - 2)), view, surface)


def _surface_of(view: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Continue the surface's colour over the whole view: a plane through it for each channel."""
    height, width = mask.shape
    small = (
        cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1).astype(np.float32)
    )
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    basis = np.stack([np.ones_like(x), x, y], axis=-1)[mask > 0]
    values = small[mask > 0]
    away = np.abs(values - np.median(values, axis=0)).max(axis=1)
    free = away <= max(_GRAIN, float(np.median(away)))
    slopes = np.linalg.lstsq(basis[free], values[free], rcond=None)[0]
    flat = slopes[0] + x[:, :, None] * slopes[1] + y[:, :, None] * slopes[2]
    flat = np.clip(np.rint(flat), 0, 255).astype(np.uint8)
    continued: NDArray[np.uint8] = cv2.resize(flat, view.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return continued.reshape(view.shape)
