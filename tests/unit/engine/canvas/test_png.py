"""A digit as the model sees it becomes a picture with the same pixels."""

from __future__ import annotations

import numpy as np
import pytest

from engine.canvas.png import as_png
from engine.codecs.decode import decode
from engine.limits import Limits


@pytest.mark.parametrize("side", [28, 32])
def test_paper_is_black_and_ink_is_white(side: int) -> None:
    digit = np.linspace(0, 1, side * side, dtype=np.float32).reshape(side, side)
    shown = decode(as_png(digit), Limits()).pixels
    assert shown.shape == (side, side)
    assert (shown[0, 0], shown[-1, -1]) == (0, 255)
    np.testing.assert_allclose(shown / 255, digit, atol=0.5 / 255 + 1e-6)
