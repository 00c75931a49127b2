"""Draws the golden set, digits by program with their labels: ``python -m tests.harness.golden``.

They are drawn from the parameters that training uses, by random choices of their own. Those that a model's card is
measured with are never used here, since the golden set decides which model is served.
"""

from __future__ import annotations

import io
import zipfile
from typing import Final

import numpy as np

from consumer.exchange.golden import GOLDEN
from engine.training.hands.choices import Choices
from engine.training.hands.pictures import PICTURES
from engine.training.hands.skeletons.variants import VARIANTS
from engine.training.hands.writing import write

EACH: Final = 50
"""Of each digit, shared among its variants."""
SEED: Final = 20_001
"""Neither training nor a card uses it."""


def draw() -> bytes:
    """Return a zip archive with the pictures ``LABEL/NUMBER``; always the same."""
    rng = np.random.default_rng(SEED)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for digit in range(10):
            variants = [skeleton for name, skeleton in VARIANTS.items() if int(name[0]) == digit]
            for number in range(EACH):
                strokes = write(digit, variants[number % len(variants)], Choices("train", rng))
                picture = PICTURES[int(rng.integers(len(PICTURES)))](strokes, rng)
                archive.writestr(zipfile.ZipInfo(f"{digit}/{number:02}"), picture)
    return buffer.getvalue()


if __name__ == "__main__":
    GOLDEN.write_bytes(draw())
