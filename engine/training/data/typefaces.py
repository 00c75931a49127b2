"""The typefaces that letters and rows of digits are drawn with: one set for training, another for testing.

They come from Debian's packages; nothing is bundled. `missing_packages` says what to install.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Split = Literal["train", "test"]

_ROOT: Final = Path("/usr/share/fonts")
PACKAGES: Final[Mapping[Split, Mapping[str, str]]] = MappingProxyType(
    {
        "train": MappingProxyType(
            {
                "fonts-breip": "truetype/breip/Breip.ttf",
                "fonts-bwht": "opentype/bwht/*.otf",
                "fonts-comic-neue": "opentype/comic-neue/*.otf",
                "fonts-dancingscript": "opentype/dancingscript/*.otf",
                "fonts-essays1743": "truetype/essays1743/*.ttf",
                "fonts-femkeklaver": "truetype/femkeklaver/*.ttf",
                "fonts-freefont-ttf": "truetype/freefont/*.ttf",
                "fonts-humor-sans": "truetype/humor-sans/*.ttf",
                "fonts-liberation2": "truetype/liberation2/*.ttf",
                "fonts-roboto-slab": "opentype/roboto/slab/*.otf",
                "fonts-rufscript": "truetype/rufscript/*.ttf",
            }
        ),
        "test": MappingProxyType(
            {
                "fonts-dejavu-core": "truetype/dejavu/DejaVu*.ttf",
                "fonts-dkg-handwriting": "truetype/fifthhorseman/*.ttf",
                "fonts-ecolier-court": "truetype/ecolier-court/*.ttf",
                "fonts-kaushanscript": "opentype/kaushanscript/*.otf",
                "fonts-kristi": "truetype/kristi/*.ttf",
                "fonts-lato": "truetype/lato/*.ttf",
                "fonts-leckerli-one": "truetype/leckerli-one/*.ttf",
                "fonts-quattrocento": "opentype/quattrocento/*.otf",
                "fonts-summersby": "truetype/summersby/*.ttf",
                "fonts-tomsontalks": "truetype/tomsontalks/*.ttf",
            }
        ),
    }
)
"""Debian's package of each typeface, and where its files lie below /usr/share/fonts."""

_DRAWN_PX: Final = 96  # large, since the drawing is shrunk afterwards


class TypefacesMissingError(Exception):
    """Typefaces are not installed; the message is the command that installs them."""


def missing_packages(split: Split) -> list[str]:
    """Name the packages of which no typeface is found."""
    return [package for package, pattern in PACKAGES[split].items() if not any(_ROOT.glob(pattern))]


def require(split: Split) -> None:
    """Check that a split's typefaces are installed, before hours of training.

    Raises
    ------
    TypefacesMissingError
        Some are not; the message says what to install.
    """
    missing = missing_packages(split)
    if missing:
        raise TypefacesMissingError(f"typefaces are missing: apt-get install {' '.join(missing)}")


def draw(text: str, split: Split, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw text in a random typeface, cropped to its ink.

    Every package is as likely as any other, however many typefaces it has.

    Returns
    -------
    ink : (h, w) float32
        0 paper, 1 ink; about 70 px high for a capital.

    Raises
    ------
    TypefacesMissingError
        If the split's packages are not all installed.
    """
    families = _families(split)
    family = families[int(rng.integers(len(families)))]
    font = _font(family[int(rng.integers(len(family)))])
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
    ink = np.asarray(picture, np.float32) / np.float32(255)
    box = picture.getbbox()
    return ink if box is None else ink[box[1] : box[3], box[0] : box[2]]


@cache
def _families(split: Split) -> list[list[Path]]:
    require(split)
    return [sorted(_ROOT.glob(pattern)) for pattern in PACKAGES[split].values()]


@cache
def _font(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, _DRAWN_PX)
