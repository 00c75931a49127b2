"""How numbers are written in a TIFF file, which its first bytes say.

In a BigTIFF, offsets and counts have 64 bits [1]_.

References
----------
.. [1] LibTIFF, BigTIFF Design.
"""

from __future__ import annotations

import struct
from typing import NamedTuple


class Layout(NamedTuple):
    """How numbers are written, by the first bytes of the file."""

    order: str
    first_at: int
    """Where the offset of the first directory is."""
    offset: str
    tags: str
    """Number of a directory's tags."""
    entry: str
    """Tag, type, number of values; then the values or their offset."""
    value_at: int
    """Within an entry; the offset of the values has as many bytes as there is room for values."""
    entry_bytes: int

    def read(self, what: str, data: bytes, at: int) -> tuple[int, ...]:
        """Read numbers at an offset.

        Raises
        ------
        struct.error
            If they are outside the file.
        """
        if not 0 <= at <= len(data):  # struct counts negative offsets from the end, and takes none of 2^63 or more
            raise struct.error("outside the file")
        return struct.unpack_from(self.order + what, data, at)


def layout_of(data: bytes) -> Layout:
    """Return the layout of a file by its first bytes."""
    order = "<" if data.startswith(b"II") else ">"
    if b"+" in data[2:4]:
        return Layout(order, 8, "Q", "Q", "HHQ", 12, 20)
    return Layout(order, 4, "I", "H", "HHI", 8, 12)
