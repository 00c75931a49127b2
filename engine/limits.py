"""What one payload may cost: counts, so that every machine decides alike."""

from __future__ import annotations

from dataclasses import dataclass, fields

_MIB = 1024 * 1024
_MOST = 1 << 40  # far above any machine, and far below where the numbers of compiled code end


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one payload (and one lower bound). The defaults are safe for a worker with 300 MB to spare.

    Raises
    ------
    ValueError
        If a limit is not a number from 1 to 2**40.
    """

    record_bytes: int = 16 * _MIB
    """Bytes of a payload, packed as it came."""

    image_bytes: int = 16 * _MIB
    """Bytes of one encoded image."""
    pixels: int = 16_000_000
    """Pixels of one image, all the same of which depth: 16 MP is what most telephones take."""
    decoded_bytes: int = 96_000_000
    """Bytes of one image as its decoder holds it: 16 MP of RGB with 16 bits each."""
    frames: int = 1_000
    """Frames of an animation or pages of a TIFF. The first is read; the others cost the walk along their headers."""
    parts: int = 10_000
    """Parts of an image file, each of which costs time: chunks, segments, blocks, TIFF tags, values, strips, tiles."""
    scans: int = 32
    """Scans of a progressive JPEG file, each of which is a pass over all pixels: encoders write about ten."""
    side_max_px: int = 1_000_000
    """The longer side of an image. libpng takes no longer one, whatever this says."""
    side_min_px: int = 8
    """The shorter side of an image: below, two digits look the same."""

    entries: int = 10_000
    """Entries of an archive, those included that are left out later."""
    inflated_bytes: int = 256 * _MIB
    """Bytes of all entries of an archive, inflated. They never exist at the same time."""
    entry_bytes: int = 16 * _MIB
    """Bytes of one entry, inflated."""
    inflation_ratio: int = 200
    """Inflated bytes for each packed byte of an entry: zeros reach 1,030, images 1 to 20."""
    name_characters: int = 255
    """Characters of a name, an entry's or the header `filename`: it is echoed in the result."""
    archive_decoded_bytes: int = 1024 * _MIB
    """Bytes of all images of an archive, decoded. They never exist at the same time; each costs time."""
    kept_ratio: int = 2
    """Bytes of failed entries that an archive may have in its dead letters, for each byte of its own (and 64 KiB)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, not {value}")
            if value > _MOST:
                raise ValueError(f"{field.name} must be at most {_MOST:,}, not {value}")
