"""Limits of one payload. They are counts and not times, so that every machine decides in the same way."""

from __future__ import annotations

from dataclasses import dataclass, fields

_MIB = 1024 * 1024
_MOST = 1 << 40  # far above what any machine has, and far below the range of 64 bit integers


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one payload (and one lower bound). The defaults fit a worker with 300 MB of free memory.

    Raises
    ------
    ValueError
        If a limit is not a number from 1 to 2**40.
    """

    record_bytes: int = 16 * _MIB
    """Bytes of a payload as received."""

    image_bytes: int = 16 * _MIB
    """Bytes of one encoded image."""
    pixels: int = 16_000_000
    """Pixels of one image of any depth as it is decoded: photos of most phones have at most 16 MP."""
    reduced_pixels: int = 200_000_000
    """Pixels of one image that is decoded to fewer: a JPEG, or a TIFF with overviews."""
    decoded_bytes: int = 96_000_000
    """Bytes of one decoded image: 16 MP of RGB with 16 bits each."""
    frames: int = 1_000
    """Frames of an animation or pages of a TIFF. Only the first is read, but the headers of all are walked."""
    parts: int = 10_000
    """Parts of an image file (chunks, segments, blocks, boxes, TIFF tags, values, strips, tiles): each costs time."""
    scans: int = 32
    """Scans of a progressive JPEG file, each of which is a pass over all pixels: encoders write about ten."""
    side_max_px: int = 1_000_000
    """The longer side of an image. libpng accepts no longer one, so a higher limit has no effect."""
    side_min_px: int = 8
    """The shorter side of an image: digits cannot be distinguished in smaller ones."""

    entries: int = 10_000
    """Entries of an archive, including those that are ignored."""
    inflated_bytes: int = 256 * _MIB
    """Bytes of all inflated entries of an archive. They are never in memory at the same time."""
    entry_bytes: int = 16 * _MIB
    """Bytes of one entry, inflated."""
    inflation_ratio: int = 200
    """Inflated bytes for each packed byte of an entry that has more than `image_bytes`; smaller ones are no bombs."""
    name_characters: int = 255
    """Characters of a name, an entry's or the header `filename`: it is echoed in the result."""
    archive_decoded_bytes: int = 1024 * _MIB
    """Bytes of all decoded images of an archive, which cost time one after the other; a slow inflation counts, too."""
    kept_ratio: int = 2
    """Bytes of failed entries that an archive may have in its dead letters, for each byte of its own (and 64 KiB)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, not {value}")
            if value > _MOST:
                raise ValueError(f"{field.name} must be at most {_MOST:,}, not {value}")
