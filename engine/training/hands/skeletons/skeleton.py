"""What a variant of a digit returns: its strokes, and the angle that separates a 1 from a 7.

A digit is 1 high: y runs from 0 at its top to 1 at its foot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.training.curves import Points
from engine.training.hands.choices import Choices


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The lines of one digit."""

    strokes: Sequence[Points]
    """Each drawn without lifting the pen; a single point is a dot."""
    beak: Points | None = None
    """Of a 1 with an upstroke and of a 7, (3, 2): where that line begins, where it meets the stem, the stem's foot."""


Variant = Callable[[Choices], Skeleton]
"""Draws a digit in one of the ways that are taught, from parameters that are chosen at random."""
