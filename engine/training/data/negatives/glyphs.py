"""Draws single characters: with the typefaces that matplotlib brings, and as a pen would write them.

The extra `train` installs matplotlib, so nothing else needs to be installed. Its typefaces (DejaVu, STIX, Computer
Modern) hold several thousand signs and the letters of a dozen scripts. OpenCV adds Latin letters made of lines, after
A. Hershey (1967), some of them in the forms of handwriting.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.morphology import skeletonize

Ink = NDArray[np.float32]
"""(h, w), 0 paper, 1 ink."""

FAMILIES: Final = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral", "cm")
"""The beginnings of the files' names. Those of Computer Modern have Latin letters and digits only."""

_DRAWN_PX: Final = 96  # large, since the drawing is shrunk afterwards
_PENS_PX: Final = (3, 20)
_LATIN_ONLY: Final = ("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10")
_WRITTEN: Final = 0.4  # share of characters that are drawn again by a pen
_IN_LINES: Final = 0.25  # share of Latin characters that are drawn with one of OpenCV's typefaces
_LINES: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)


def draw(characters: Sequence[str], rng: np.random.Generator) -> Ink:
    """Draw one of the characters in a random typeface that has it, cropped to its ink.

    Every family is as likely as any other, however many typefaces it has. Some characters are reduced to lines of one
    pixel and written again with a round pen, as by hand.

    Returns
    -------
    ink : (h, w) float32
        0 paper, 1 ink; about 70 px high for a capital.
    """
    character = characters[int(rng.integers(len(characters)))]
    if character.isascii() and rng.random() < _IN_LINES:
        return _in_lines(character, rng)
    ink = _printed(character, rng)
    return _written(ink, int(rng.integers(*_PENS_PX))) if rng.random() < _WRITTEN else ink


def has(character: str) -> bool:
    """Return whether any typeface has the character."""
    return bool(_typefaces_with(character))


def _printed(character: str, rng: np.random.Generator) -> Ink:
    families = _typefaces_with(character)
    family = families[int(rng.integers(len(families)))]
    font = _font(family[int(rng.integers(len(family)))])
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), character, fill=255, font=font)
    ink = np.asarray(picture, np.float32) / np.float32(255)
    box = picture.getbbox()
    return ink if box is None else ink[box[1] : box[3], box[0] : box[2]]


def _in_lines(character: str, rng: np.random.Generator) -> Ink:
    """Draw a character of ASCII with one of OpenCV's typefaces, with a pen of any width."""
    typeface, pen_px = _LINES[int(rng.integers(len(_LINES)))], int(rng.integers(*_PENS_PX))
    scale = cv2.getFontScaleFromHeight(typeface, _DRAWN_PX)
    (width, height), below = cv2.getTextSize(character, typeface, scale, pen_px)
    margin = 2 * pen_px + _DRAWN_PX // 4  # some strokes leave the box that OpenCV states
    picture = np.zeros((height + below + 2 * margin, width + 2 * margin), np.uint8)
    cv2.putText(picture, character, (margin, margin + height), typeface, scale, 255, pen_px, cv2.LINE_AA)
    rows, columns = np.flatnonzero(picture.max(1)), np.flatnonzero(picture.max(0))
    cropped = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cropped.astype(np.float32) / np.float32(255)


def _written(ink: Ink, pen_px: int) -> Ink:
    """Follow the middle of the strokes with a round pen."""
    lines = skeletonize(np.pad(ink, pen_px) > np.float32(0.5))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen_px, pen_px))
    drawn: NDArray[np.uint8] = cv2.dilate(lines.astype(np.uint8) * 255, pen)
    soft: Ink = cv2.GaussianBlur(drawn, (0, 0), 1.0).astype(np.float32) / np.float32(255)
    return soft


@cache
def _typefaces_with(character: str) -> list[list[Path]]:
    """List the typefaces that have a character, for each family that has any."""
    having = [[path for path in paths if ord(character) in _characters(path)] for paths in _families()]
    return [paths for paths in having if paths]


@cache
def _families() -> list[list[Path]]:
    folder = Path(get_data_path()) / "fonts" / "ttf"
    paths = sorted(folder.glob("*.ttf"))
    families = [[path for path in paths if path.stem.partition("-")[0] == family] for family in FAMILIES[:3]]
    families.append([path for path in paths if path.stem.startswith(FAMILIES[3])])
    families.append([path for path in paths if path.stem in _LATIN_ONLY])
    return families


@cache
def _characters(path: Path) -> frozenset[int]:
    known = frozenset(FT2Font(str(path)).get_charmap())
    return frozenset(code for code in known if chr(code).isascii()) if path.stem in _LATIN_ONLY else known


@cache
def _font(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, _DRAWN_PX)
