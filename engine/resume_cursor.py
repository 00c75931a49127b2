"""How far a payload has been read. This is a separate module because the service must not import decoders."""

from __future__ import annotations

from typing import NamedTuple


class ResumeCursor(NamedTuple):
    """How far a payload has been read, and how much of its limits has been used."""

    items: int = 0
    """Number of finished items, and so the index of the next one."""
    total: int = 0
    """Items in all."""
    cost_bytes: int = 0
    """Bytes of its decoded images."""
    kept_bytes: int = 0
    """Bytes of failed entries that were returned."""
    spent_s: float = 0.0
    """Processor time spent so far; counted by a caller that reads in slices."""


BEGINNING = ResumeCursor()
