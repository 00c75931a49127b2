"""Pictures of each kind, which are read once so that all compilation and allocation on first use is done afterwards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_RULING = 60  # grey level of lines


def warm_up_pictures() -> list[bytes]:
    """Draw a digit on pages of each kind, and encode them as PNG and JPEG."""
    page = np.full((280, 280), 255, np.uint8)
    page[60:220, 120:150] = 20
    kinds = [page, cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), cv2.cvtColor(page, cv2.COLOR_GRAY2BGRA)]
    pages = [each for kind in kinds for each in (np.ascontiguousarray(kind[::10, ::10]), kind)]
    pages += [_ruled(page[::4, ::4]), _framed(page[::4, ::4]), _with_dark_edge(page[::4, ::4])]
    return [bytes(cv2.imencode(kind, each)[1]) for each in pages for kind in (".png", ".jpg")]


def _ruled(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rule a line from edge to edge through a page."""
    ruled = page.copy()
    ruled[len(page) // 3] = _RULING
    return ruled


def _framed(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a frame around what a page shows."""
    framed = page.copy()
    framed[[3, -4], 3:-3] = _RULING
    framed[3:-3, [3, -4]] = _RULING
    return framed


def _with_dark_edge(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Darken one side of a page, as a scanner does beside the paper."""
    dark = page.copy()
    dark[:, :4] = 0
    return dark
