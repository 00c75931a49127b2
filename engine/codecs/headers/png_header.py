"""The header of a PNG file: what it may say, and how large the picture is that it describes.

References
----------
.. [1] W3C, Portable Network Graphics (PNG) Specification (Third Edition), 2025, section 11.2.1.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from engine.errors import DamagedImage

GREY: Final = 0
"""Colour type: one grey channel."""
_HEADER: Final = struct.Struct(">IIBBBBB")
_CHANNELS: Final = {
    0: 1,
    2: 3,
    3: 4,
    4: 4,
    6: 4,
}  # decoded, by colour type: grey with alpha becomes RGBA
_STORED_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # in the file, by colour type
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: first column and row of each pass, and the steps along both (section 8)."""
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type


class Header(NamedTuple):
    """The body of IHDR."""

    width: int
    height: int
    depth: int
    """Bits a channel."""
    colour_type: int
    compression: int
    filtering: int
    interlace: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a decoded pixel; palettes and depths below 8 bits are expanded."""
        return _CHANNELS[self.colour_type] * (self.depth // 8 or 1)

    @property
    def filtered_bytes(self) -> int:
        """Bytes of all rows as they are deflated: each with one byte for its filter."""
        bits = _STORED_CHANNELS[self.colour_type] * self.depth
        passes = _PASSES if self.interlace else ((0, 0, 1, 1),)
        sizes = [(-(-(self.width - x) // across), -(-(self.height - y) // down)) for x, y, across, down in passes]
        return sum(height * (1 + -(-width * bits // 8)) for width, height in sizes if width > 0 and height > 0)


def parse_header(body: bytes) -> Header:
    """Parse the body of the chunk IHDR.

    Raises
    ------
    DamagedImage
        If the specification does not have such a header.
    """
    if len(body) != _HEADER.size:
        raise DamagedImage("The PNG file has no valid header.")
    header = Header._make(_HEADER.unpack(body))
    if (
        header.depth not in _DEPTHS.get(header.colour_type, ())
        or header.compression
        or header.filtering
        or header.interlace > 1
    ):
        raise DamagedImage("The PNG file's header is impossible.")
    return header
