"""How far a payload has been read. A module of its own, so that the service can use it without importing decoders."""

from __future__ import annotations

from typing import NamedTuple


class ResumeCursor(NamedTuple):
    """How far a payload has been read, and what of its limits that has used."""

    items: int = 0
    """Items that are done; the next one has this index."""
    total: int = 0
    """Items in all."""
    cost_bytes: int = 0
    """Bytes of its images, decoded."""
    kept_bytes: int = 0
    """Bytes of failed entries that came out."""
    spent_s: float = 0.0
    """Of processor time: for whoever reads in slices to count."""


BEGINNING = ResumeCursor()
