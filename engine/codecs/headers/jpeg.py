"""Checks untrusted JPEG files: all segments are walked before a pixel is decoded.

References
----------
.. [1] ITU-T T.81, Digital compression and coding of continuous-tone still images, 1992, annex B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.codecs.headers.exif import read_orientation, read_xmp_orientation
from engine.errors import DamagedImage, ImageTooLarge, TooManyParts, TooManyScans
from engine.limits import Limits

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {
    0xC4,
    0xC8,
    0xCC,
}  # SOFn; the others are tables, an extension
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length: TEM, RSTn
_END: Final = 0xD9
_SCAN: Final = 0xDA
_CUT: Final = -1
"""Stands where a file ends without an end marker."""
_APP1, _APP14 = 0xE1, 0xEE
_METADATA: Final = frozenset({*range(0xE0, 0xF0), 0xFE}) - {_APP14}
"""Application segments and comments, except APP14: Adobe's segment defines how the colours are encoded."""
_XMP_PREFIX: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_LENGTH_BYTES: Final = 2
_FRAME_BYTES: Final = 6  # precision, height, width, channels; the decoder reads the rest
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the next marker that is not part of a scan's data
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})  # frames whose pixels come in several scans
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # between segments: stray bytes and fill bytes come before it
_END_MARKER: Final = b"\xff\xd9"
_COEFFICIENTS: Final = 64  # of a block


_CHANNEL_BYTES: Final = 3  # number, sampling, table; of each channel in the frame's header
_COEFFICIENT_BYTES: Final = 2
_ENDLESS_SCANS: Final = 20
"""The most of a file without an end marker: encoders write 6 of grey, 10 of colours, 18 of CMYK."""
_ENDLESS_SHARE: Final = 4
"""Of the largest file, the part that such a file of many scans may have."""
ENDLESS_DECODINGS: Final = 2
"""A file without an end marker is decoded as often, with different ends, to find out whether pixels are missing."""


_Frame = tuple[int, int, int, bool, int]


class Jpeg(NamedTuple):
    """The result of `walk`."""

    width: int
    height: int
    channels: int
    progressive: bool
    coefficient_bytes: int
    """Of all channels, of which those that are sampled more coarsely have fewer."""
    orientation: int
    is_buffered: bool
    """True if the decoder keeps all coefficients until the last scan: of a progressive file, or one of many scans."""
    metadata: list[tuple[int, int]]
    """Start and end of each segment that does not affect the pixels."""
    end_at: int | None
    """Where a file without an end marker ends; None if it has one."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel in the decoder's memory: for a progressive file including its coefficients."""
        return self.channels * (1 + self.progressive)


def walk(data: bytes, limits: Limits) -> Jpeg:
    """Check the structure of a JPEG file.

    As in libjpeg, stray bytes between segments do not matter, and after a scan the file may end anywhere; `end_at` then
    says so, since the decoder has to find out whether pixels are missing.

    Raises
    ------
    DamagedImage
        If it is cut short before its pixels, or has no frame or no scan.
    TooManyParts, TooManyScans
        If it has more segments or scans than the limits.
    TooManyScans, ImageTooLarge
        If it has no end, and several scans that would be decoded too often.
    """
    frame: _Frame | None = None
    in_exif = in_xmp = 0
    scans: list[bytes] = []
    metadata = []
    end_at: int | None = None
    for marker, begin, end, body in _segments(data, limits):
        if marker == _CUT:
            end_at = begin
        elif marker in _FRAMES:
            frame = _frame(marker, body, frame)
        elif marker in _METADATA:
            metadata.append((begin, end))
            if marker == _APP1:
                in_exif = in_exif or read_orientation(body)
                in_xmp = in_xmp or _read_xmp(body)
        elif marker == _SCAN:
            scans.append(body)
            if len(scans) > limits.scans:
                raise TooManyScans(f"The JPEG file has more than {limits.scans:,} scans.")
    if frame is None or not scans:
        raise DamagedImage("The JPEG file has no pixels." if end_at is None else "The JPEG file is cut short.")
    is_buffered = frame[3] or not scans[0] or scans[0][0] < frame[2]
    if end_at is not None:
        _check_endless(scans, frame[2], len(data) if is_buffered else 0, limits)
    return Jpeg(*frame, in_exif or in_xmp, is_buffered, metadata, end_at)


def _segments(data: bytes, limits: Limits) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield marker, start, end and body of each segment up to the end marker, or `_CUT` where the file ends before."""
    at = 2
    for _ in range(limits.parts):
        found = _MARKER.search(data, at)
        if found is None:
            yield _CUT, at, at, b""
            return
        begin, (marker,), at = found.start(), found[1], found.end()
        if marker == _END:
            return
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        body, at = data[at + _LENGTH_BYTES : at + length], at + length
        if at > len(data):
            yield _CUT, begin, begin, b""
            return
        if length < _LENGTH_BYTES:
            raise DamagedImage("A segment of the JPEG file has an impossible length.")
        yield marker, begin, at, body
        if marker == _SCAN:
            at = _scan_end(data, at)
    raise TooManyParts(f"The JPEG file has more than {limits.parts:,} segments.")


def with_end(data: bytes, found: Jpeg, rest: bytes = b"") -> bytes:
    """Return a file that has lost its end marker with one, after further bytes of its last scan.

    Parameters
    ----------
    data, found
        The file, and the result of `walk`, with `Jpeg.end_at`.
    rest
        May contain restart markers, and no others.
    """
    return data[: found.end_at].rstrip(b"\xff") + rest + _END_MARKER


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


def _frame(marker: int, body: bytes, before: _Frame | None) -> _Frame:
    if before is not None or len(body) < _FRAME_BYTES:
        raise DamagedImage("The JPEG file's header is impossible.")
    height, width, channels = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5]
    samples = _samples(body[_FRAME_BYTES:][: channels * _CHANNEL_BYTES], channels)
    return width, height, channels, marker in _PROGRESSIVE, int(width * height * samples * _COEFFICIENT_BYTES)


def _samples(described: bytes, channels: int) -> float:
    """Return how many samples a pixel has on average: 3 in full colour, 1.5 where two channels have half the sides."""
    sampling = described[1::_CHANNEL_BYTES]
    areas = [(each >> 4) * (each & 0x0F) for each in sampling]
    most = max((each >> 4 for each in sampling), default=0) * max((each & 0x0F for each in sampling), default=0)
    return sum(areas) / most if areas and len(areas) == channels and all(areas) else channels


def _read_xmp(body: bytes) -> int:
    return read_xmp_orientation(body) if body.startswith(_XMP_PREFIX) else 0


def _scan_end(data: bytes, at: int) -> int:
    found = _IN_SCAN.search(data, at)
    return len(data) if found is None else found.start()


def _check_endless(scans: list[bytes], channels: int, buffered_bytes: int, limits: Limits) -> None:
    """Refuse a file without an end that lacks scans, or whose scans would cost more than those of any file with one."""
    if not _is_covered(scans, channels):
        raise DamagedImage("The JPEG file is cut short: it lacks scans.")
    if len(scans) > _ENDLESS_SCANS:
        raise TooManyScans(
            f"The JPEG file has no end, and {len(scans):,} scans; then at most {_ENDLESS_SCANS} are read."
        )
    most_bytes = limits.image_bytes // _ENDLESS_SHARE
    if buffered_bytes > most_bytes:
        raise ImageTooLarge(
            f"The JPEG file has no end, and {buffered_bytes:,} bytes; then at most {most_bytes:,} are read."
        )


def _is_covered(scans: list[bytes], channels: int) -> bool:
    """Return whether the scans begin to hold every bit of every coefficient of every channel, by their headers.

    A sequential file has its channels in one scan or in several; a progressive one its coefficients, too, and their
    lower bits (section G.1).
    """
    covered: dict[int, set[int]] = {}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            return False
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
        if not bits & 0x0F:  # no lower bit follows
            for channel in scan[1 : 1 + 2 * count : 2]:
                covered.setdefault(channel, set()).update(range(first, last + 1))
    return len(covered) == channels and all(len(each) >= _COEFFICIENTS for each in covered.values())
