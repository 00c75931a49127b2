"""Writes a lossless WebP picture of one colour that has as many prefix codes as the format allows.

A decoder makes tables of some kilobytes for each group of codes, of which the file needs five bytes.

References
----------
.. [1] Google, WebP Lossless Bitstream Specification.
"""

from __future__ import annotations

from typing import Final

from tests.hostile.files import riff, webp

GROUPS: Final = 65_536
"""Their numbers have 16 bits."""
SIDE: Final = 1_024
"""Squared, in blocks of four by four pixels, as many blocks."""
_ORDER: Final = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
"""In which the lengths of codes for lengths are written."""
_LITERALS, _LENGTHS = 256, 24
"""Of the first code of a picture without a colour cache."""


class _Bits:
    """Numbers of some bits each, the lowest bit first."""

    def __init__(self) -> None:
        self._value = self._count = 0
        self._written = bytearray()

    def put(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count
        while self._count >= 8:
            self._written.append(self._value & 0xFF)
            self._value >>= 8
            self._count -= 8

    def one_symbol(self) -> None:
        """Write a code for the symbol 0 alone."""
        self.put(0b0001, 4)

    def all_literals(self, others: int) -> None:
        """Write a code of eight bits for each literal, and none for the given number of other symbols."""
        self.put(0, 1)
        used = _ORDER.index(8) + 1
        self.put(used - 4, 4)
        for length in _ORDER[:used]:
            self.put(length in (8, 18), 3)  # 18 stands for a run of none
        self.put(0, 1)
        for _ in range(_LITERALS):
            self.put(0, 1)
        if others:
            self.put(1, 1)
            self.put(others - 11, 7)

    def literal(self, value: int) -> None:
        self.put(int(f"{value:08b}"[::-1], 2), 8)

    def done(self) -> bytes:
        self.put(0, 7)
        return bytes(self._written)


def of_many_codes(groups: int = GROUPS) -> bytes:
    """Write it with this many groups of codes; with all of them it has 0.3 MB."""
    bits = _Bits()
    bits.put(0x2F, 8)
    bits.put(SIDE - 1, 14)
    bits.put(SIDE - 1, 14)
    bits.put(0, 1 + 3 + 1 + 1)  # no alpha, version 0, no transform, no colour cache
    bits.put(1, 1)  # an image says which group a block of pixels has
    bits.put(0, 3 + 1)  # blocks of four by four; no colour cache in that picture
    bits.all_literals(_LENGTHS)
    bits.all_literals(0)
    for _ in range(3):
        bits.one_symbol()
    for block in range(GROUPS):  # green has the low bits of the group's number, red the high ones
        bits.literal(block % groups & 0xFF)
        bits.literal(block % groups >> 8)
    for _ in range(groups * 5):
        bits.one_symbol()
    return webp(riff(b"VP8L", bits.done()))
