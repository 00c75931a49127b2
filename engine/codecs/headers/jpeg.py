"""Checks untrusted JPEG files: all segments are walked before a pixel is decoded.

References
----------
.. [1] ITU-T T.81, Digital compression and coding of continuous-tone still images, 1992, annex B.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from engine.codecs.headers.exif import UPRIGHT, read_orientation
from engine.errors import DamagedImage, TooManyParts, TooManyScans
from engine.limits import Limits

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {
    0xC4,
    0xC8,
    0xCC,
}  # SOFn; the others are tables, an extension
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length: TEM, RSTn
_END: Final = 0xD9
_SCAN: Final = 0xDA
_APP1, _APP14 = 0xE1, 0xEE
_METADATA: Final = frozenset({*range(0xE0, 0xF0), 0xFE}) - {_APP14}
"""Application segments and comments, except APP14: Adobe's segment defines how the colours are encoded."""
_LENGTH_BYTES: Final = 2
_FRAME_BYTES: Final = 6  # precision, height, width, channels; the decoder reads the rest
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the next marker that is not part of a scan's data
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})  # frames whose pixels come in several scans
_FILL = re.compile(rb"\xff*")


_Frame = tuple[int, int, int, bool]


class Jpeg(NamedTuple):
    """The result of `walk`."""

    width: int
    height: int
    channels: int
    progressive: bool
    orientation: int
    metadata: list[tuple[int, int]]
    """Start and end of each segment that does not affect the pixels."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel in the decoder's memory: for a progressive file including its coefficients."""
        return self.channels * (1 + self.progressive)


def walk(data: bytes, limits: Limits) -> Jpeg:
    """Check the structure of a JPEG file.

    Raises
    ------
    DamagedImage
        If it is cut short or has no frame or no scan.
    TooManyParts, TooManyScans
        If it has more segments or scans than the limits.
    """
    frame: _Frame | None = None
    orientation = UPRIGHT
    scans = 0
    metadata = []
    at = 2
    for _ in range(limits.parts):
        begin = at
        marker, at = _marker(data, at)
        if marker == _END:
            break
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        body, at = data[at + _LENGTH_BYTES : at + length], at + length
        if length < _LENGTH_BYTES or at > len(data):
            raise DamagedImage("The JPEG file is cut short.")
        if marker in _FRAMES:
            frame = _frame(marker, body, frame)
        elif marker in _METADATA:
            metadata.append((begin, at))
            orientation = _orientation(marker, body, orientation)
        elif marker == _SCAN:
            scans += 1
            at = _scan_end(data, at)
            if scans > limits.scans:
                raise TooManyScans(f"The JPEG file has more than {limits.scans:,} scans.")
    else:
        raise TooManyParts(f"The JPEG file has more than {limits.parts:,} segments.")
    if frame is None or not scans:
        raise DamagedImage("The JPEG file has no pixels.")
    return Jpeg(*frame, orientation, metadata)


def strip_metadata(data: bytes, found: Jpeg) -> bytes:
    """Return a file without the segments that do not affect its pixels.

    Parameters
    ----------
    data
        The file, already checked by `walk`.
    found
        The result of `walk`.
    """
    ends = [0, *(end for _, end in found.metadata)]
    begins = [*(begin for begin, _ in found.metadata), len(data)]
    return b"".join(data[end:begin] for end, begin in zip(ends, begins, strict=True))


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Read the marker at this offset; any number of fill bytes may come before it."""
    fill = _FILL.match(data, at)
    end = fill.end() if fill else at
    if end == at or end >= len(data):
        raise DamagedImage("The JPEG file is cut short.")
    return data[end], end + 1


def _frame(marker: int, body: bytes, before: _Frame | None) -> _Frame:
    if before is not None or len(body) < _FRAME_BYTES:
        raise DamagedImage("The JPEG file's header is impossible.")
    height, width, channels = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5]
    return width, height, channels, marker in _PROGRESSIVE


def _orientation(marker: int, body: bytes, before: int) -> int:
    return read_orientation(body) if marker == _APP1 and before == UPRIGHT else before


def _scan_end(data: bytes, at: int) -> int:
    found = _IN_SCAN.search(data, at)
    if found is None:
        raise DamagedImage("The JPEG file is cut short.")
    return found.start()
