"""Checks in compiled code whether bytes are UTF-8.

References
----------
.. [1] The Unicode Standard, Version 16.0, Table 3-7: Well-Formed UTF-8 Byte Sequences.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled


def _utf8_sequences() -> NDArray[np.int64]:
    """Return for each first byte: how many bytes follow, and the range of the next; -1 if none begins with it."""
    table = np.full((256, 3), -1, np.int64)
    table[0x00:0x80] = 0
    for first, last, following, low, high in (
        (0xC2, 0xDF, 1, 0x80, 0xBF),
        (0xE0, 0xE0, 2, 0xA0, 0xBF),
        (0xE1, 0xEC, 2, 0x80, 0xBF),
        (0xED, 0xED, 2, 0x80, 0x9F),
        (0xEE, 0xEF, 2, 0x80, 0xBF),
        (0xF0, 0xF0, 3, 0x90, 0xBF),
        (0xF1, 0xF3, 3, 0x80, 0xBF),
        (0xF4, 0xF4, 3, 0x80, 0x8F),
    ):
        table[first : last + 1] = following, low, high
    return table


_UTF8: Final = _utf8_sequences()


@compiled
def is_utf8(data: NDArray[np.uint8], at: int, end: int) -> bool:
    """Return whether the bytes from `at` to `end` are well-formed UTF-8."""
    while at < end:
        following, low, high = _UTF8[data[at], 0], _UTF8[data[at], 1], _UTF8[data[at], 2]
        at += 1
        if following < 0 or following > end - at:
            return False
        for _ in range(following):
            if data[at] < low or data[at] > high:
                return False
            low, high = 0x80, 0xBF
            at += 1
    return True
