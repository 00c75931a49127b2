"""Pictures that give the canvas as much to look at as possible: outlines, components, surfaces within surfaces."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.hostile.case import READ, Case, Cases

Grey = NDArray[np.uint8]

_SIDE_PX = 128
"""The longest side that the canvas does not reduce."""
_LARGE_PX = 4_000


def scenes() -> Cases:
    """Every picture by name; what is read in them does not matter."""
    drawn = {
        "a checkerboard": _checkerboard(1),
        "a checkerboard of large squares": _checkerboard(9),
        "nested frames": _nested_frames(_SIDE_PX, 2),
        "nested frames that fill the limits": _nested_frames(_LARGE_PX, 60),
        "rows of combs": _combs(),
        "a comb of a thousand teeth": _comb(),
        "boxes in rows": _boxes(),
        "dots in rows": _dots(),
        "plates on plates on plates": _plates(),
        "a spiral": _spiral(),
        "stripes in a shadow": _striped(),
        "a row of boxes as wide as may be": _row(),
    }
    return {name: Case(_png(picture), [READ]) for name, picture in drawn.items()}


def _png(picture: Grey) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _page(height: int = _SIDE_PX, width: int = _SIDE_PX) -> Grey:
    return np.full((height, width), 255, np.uint8)


def _as_grey(levels: NDArray[Any]) -> Grey:
    grey: Grey = levels.astype(np.uint8)
    return grey


def _checkerboard(field_px: int) -> Grey:
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX] // field_px
    return _as_grey((y + x) % 2 * 255)


def _nested_frames(side: int, step: int) -> Grey:
    y, x = np.mgrid[:side, :side]
    away = np.minimum(np.minimum(y, x), np.minimum(side - 1 - y, side - 1 - x))
    return _as_grey(away // step % 2 * 255)


def _combs() -> Grey:
    page = _page()
    page[4::6, 4:-4] = 0
    for row in range(1, _SIDE_PX - 6, 6):
        page[row : row + 3, 4:-4:3] = 0
    return page


def _comb() -> Grey:
    page = _page()
    page[100, 1:-1] = 0
    page[2:100, 1:-1:2] = 0
    return page


def _boxes() -> Grey:
    """Draw boxes, each with a hook in it, which a surface may hold."""
    page = _page()
    for top in range(1, _SIDE_PX - 14, 14):
        for left in range(1, _SIDE_PX - 14, 14):
            cv2.rectangle(page, (left, top), (left + 12, top + 12), 0, 1)
            cv2.polylines(page, [np.array([(left + 4, top + 3), (left + 8, top + 3), (left + 5, top + 9)])], False, 0)
    return page


def _dots() -> Grey:
    page = _page()
    page[3::13, 3::13] = page[4::13, 3::13] = page[3::13, 4::13] = page[4::13, 4::13] = 0
    return page


def _plates() -> Grey:
    page = _page(_LARGE_PX, _LARGE_PX)
    for number in range(12):
        middle = (_LARGE_PX // 2, _LARGE_PX // 2)
        cv2.circle(page, middle, int(_LARGE_PX * 0.49 * 0.8**number), 255 * (number % 2) + 20 * (1 - number % 2), -1)
    return page


def _spiral() -> Grey:
    page = _page()
    angle = np.linspace(0, 26 * np.pi, 4_000)
    points = 64 + np.stack([np.cos(angle), np.sin(angle)], axis=1) * (angle * 62 / angle[-1])[:, None]
    cv2.polylines(page, [np.rint(points).astype(np.int32)], False, 0)
    return page


def _striped() -> Grey:
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX]
    return _as_grey((120 + 100 * (x // 3 % 2)) * (1 - 0.6 * (x + y > _SIDE_PX)))


def _row() -> Grey:
    page = _page(1_000, 16_000)
    for left in range(10, 15_000, 900):
        cv2.rectangle(page, (left, 50), (left + 900, 950), 0, 20)
        cv2.line(page, (left + 300, 300), (left + 600, 700), 0, 40)
    return page
