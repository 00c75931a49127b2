"""Decodes TIFF by Pillow, whose strips and tiles are checked first."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin, TiffTags

from engine.codecs.headers import exif, tiff
from engine.codecs.pixels.eight_bit import eight_bit
from engine.codecs.pixels.libraries import opened_by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge
from engine.errors import DamagedImage
from engine.limits import Limits

_PIECE_COST_BYTES: Final = 2_000
"""Pillow processes each tag, strip and tile in Python: it takes as long as decoding this many bytes."""


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode the first picture of a TIFF file."""
    charge(tiff.walk(data, limits) * _PIECE_COST_BYTES)
    with opened_by_pillow(data, "TIFF", limits, charge) as image:
        if not isinstance(image, TiffImagePlugin.TiffImageFile):
            raise DamagedImage("The TIFF file cannot be decoded: it is damaged.")
        pixels = image.size[0] * image.size[1]
        charge(max(0, tiff.check(data, image.tag_v2, limits) - pixels * PIXEL_BYTES))  # padding beyond the picture
        tags = image.getexif()
        for pointer in TiffTags.TAGS_V2_GROUPS:  # Pillow would parse these directories, value by value
            if pointer in tags:
                del tags[pointer]
        image.load()
        return exif.undo_orientation(eight_bit(image), image.getexif().get(exif.ORIENTATION, exif.UPRIGHT))
