"""Makes pictures of each kind, for learning and for measuring on kinds that were never learned.

============  ==========================================================================================================
letters       printed and written letters that are no digit's double, plain, accented and ornate
signs         arithmetic, punctuation, arrows, suits, stars, currencies, lines, geometry, marks, music, faces …
scripts       Greek, Cyrillic, Hebrew, Arabic, Canadian, Old Italic and others
written       letters, signs and characters of a few strokes, as a pen writes them; learned ones also by random
              strokes: rays, parallels, angles, arrows, waves, loops
invented      characters of many strokes that are in no script
shapes        polygons and round shapes, solid and outlined
icons         shapes put together
several       two to five digits in a row, apart or touching
overlapping   two or three digits over one another
halves        half a digit
struck out    a digit that is crossed out
scribbles     strokes that mean nothing
photos        random crops of scikit-image's own pictures
empty scenes  plates, form fields and sheets with nothing on them
textures      stripes, checks, dots, waves, rings
codes         bar codes and codes of squares
blank         paper, perhaps shaded, stained or noisy
noise         random pixels, random blots
============  ==========================================================================================================

Each kind has two parts without a common letter, sign, shape, photo, empty scene or scribbling hand: `train` is
learned, `test` never is. The same generator state gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.training.data.negatives import surfaces
from engine.training.data.negatives.dressing import bent, dressed
from engine.training.data.negatives.glyphs import Ink, draw
from engine.training.data.negatives.icons import icon
from engine.training.data.negatives.invented import invented
from engine.training.data.negatives.pen.few_strokes import few_strokes
from engine.training.data.negatives.pen.scribbles import scribble
from engine.training.data.negatives.pen.strokes import written
from engine.training.data.negatives.several import half, overlapping, row, struck_out
from engine.training.data.negatives.shapes import shape
from engine.training.data.negatives.signs import LETTERS, SCRIPTS, SIGNS, Table
from engine.training.data.negatives.split import Split

Digits = NDArray[np.uint8] | None

_RANDOM_STROKES: Final = 0.5


def negatives(
    kind: str, count: int, rng: np.random.Generator, split: Split = "train", digits: Digits = None
) -> list[bytes]:
    """Make encoded pictures of one kind.

    Parameters
    ----------
    kind
        One of `KINDS`.
    count
        How many pictures.
    rng
        Decides all that is random.
    split
        Which of the two parts.
    digits : (n, 28, 28) uint8, optional
        Handwritten digits for the kinds that are made of digits, 0 paper and 255 ink; without them they are drawn with
        typefaces.
    """
    if kind in _SURFACES:
        return [_SURFACES[kind](split, rng) for _ in range(count)]
    return [dressed(_INKS[kind](split, digits, rng), rng) for _ in range(count)]


def _characters(table: Table) -> Callable[[Split, Digits, np.random.Generator], Ink]:
    """Return a function that draws a character of the table: every group of it is as likely as any other."""

    def make(split: Split, _: Digits, rng: np.random.Generator) -> Ink:
        groups = table[split]
        return bent(draw(groups[int(rng.integers(len(groups)))], rng), rng)

    return make


def _written(split: Split, rng: np.random.Generator) -> Ink:
    """Write a character of the table; of what is learned, every other picture is a sign of a few random strokes."""
    return few_strokes(rng) if split == "train" and rng.random() < _RANDOM_STROKES else written(split, rng)


_INKS: Final[Mapping[str, Callable[[Split, Digits, np.random.Generator], Ink]]] = MappingProxyType(
    {
        "letters": _characters(LETTERS),
        "signs": _characters(SIGNS),
        "scripts": _characters(SCRIPTS),
        "written": lambda split, _, rng: bent(_written(split, rng), rng),
        "invented": lambda split, _, rng: bent(invented(split, rng), rng),
        "shapes": lambda split, _, rng: shape(split, rng),
        "icons": lambda split, _, rng: icon(split, rng),
        "several": lambda _, digits, rng: row(digits, rng),
        "overlapping": lambda _, digits, rng: overlapping(digits, rng),
        "halves": lambda split, _, rng: half(split, rng),
        "struck out": struck_out,
        "scribbles": lambda split, _, rng: scribble(split, rng),
    }
)
_SURFACES: Final[Mapping[str, Callable[[Split, np.random.Generator], bytes]]] = MappingProxyType(
    {
        "photos": surfaces.photo,
        "empty scenes": surfaces.empty_scene,
        "textures": surfaces.texture,
        "codes": surfaces.code,
        "blank": surfaces.blank,
        "noise": surfaces.noise,
    }
)
KINDS: Final = (*_INKS, *_SURFACES)
"""Every kind by its name."""
CHARACTERS: Final = ("letters", "signs", "scripts", "written", "shapes")
"""The kinds that show one character, sign or shape."""
