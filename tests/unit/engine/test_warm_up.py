"""A warm worker compiles nothing any more: it could not keep the machine code, and an image would wait for it."""

from __future__ import annotations

import importlib
import io
import itertools
import pkgutil
from collections.abc import Iterator

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher
from PIL import Image

import engine
import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
ORIENTATION = 0x0112


def pictures() -> Iterator[bytes]:
    """Yield a picture of each size, mode, format and orientation that Pillow writes."""
    for side, mode, kind, held in itertools.product((28, 400), MODES, FORMATS, (1, 3, 6)):
        shape = np.full((side, side), 255, np.uint8)
        shape[side // 4 : side // 2, side // 3 : side // 2] = 0
        exif = Image.Exif()
        exif[ORIENTATION] = held
        packed = io.BytesIO()
        try:
            Image.fromarray(shape).convert(mode).save(packed, kind, exif=exif)
        except (KeyError, OSError, ValueError):  # not every format has every mode
            continue
        yield packed.getvalue()


def ruled() -> Iterator[bytes]:
    """Yield a picture with each kind of line that is erased before the digit is read."""
    for side, dark in itertools.product((28, 100, 400), (0, 90)):
        digit = np.full((side, side), 255, np.uint8)
        digit[side // 4 : side // 2, side // 3 : side // 2] = 20
        thick = max(1, side // 60)
        across, along, band, frame = (digit.copy() for _ in range(4))
        across[side * 3 // 5 : side * 3 // 5 + thick] = dark
        along[:, side * 3 // 5 : side * 3 // 5 + thick] = dark
        band[:, : side // 8] = dark
        frame[[2, -3], 2:-2] = dark
        frame[2:-2, [2, -3]] = dark
        for picture in (across, along, band, frame):
            for turned in (picture, picture[::-1], picture.T):
                packed = io.BytesIO()
                Image.fromarray(np.ascontiguousarray(turned)).save(packed, "PNG")
                yield packed.getvalue()


def signatures() -> dict[str, int]:
    """Return with how many kinds of arguments each loop of the engine can be called without compiling."""
    names = [each.name for each in pkgutil.walk_packages(engine.__path__, "engine.") if "training" not in each.name]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    loops = {id(each): each for module in modules for each in vars(module).values() if isinstance(each, CPUDispatcher)}
    return {f"{each.py_func.__module__}.{each.py_func.__qualname__}": len(each.signatures) for each in loops.values()}


@pytest.fixture(scope="module")
def reader() -> Reader:
    reader = Reader(Classifier.load(default_model()), Limits())
    reader.warm_up()
    return reader


def test_after_the_warm_up_no_picture_makes_anything_compile(reader: Reader) -> None:
    warm = signatures()
    assert len(warm) > 60, "the loops are looked for where they are"
    gallery = [*pictures(), *ruled()]
    assert len(gallery) > 100
    outcomes = reader.read(gallery)
    assert [outcome.error for (outcome,) in outcomes if outcome.error] == []
    assert signatures() == warm
