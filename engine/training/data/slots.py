"""How clean digits are shown in pictures as people send them: in a few ways that are as likely as one another.

What is no digit is shown in the same ways, so that the reject head learns the form of what is written and not its
paper, pen or scene.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from engine.training.data.disturb import DISTURBANCES, Digit
from engine.training.data.handwriting import other_handwriting, photographed
from engine.training.scenes.kinds import SCENES

Kind = Callable[[Digit, np.random.Generator], bytes]

_NAMES = ("small", "tight", "ruled", "ruled", "bordered", "shaded", "coloured", "jpeg_50")
SLOTS: Final[tuple[tuple[Kind, ...], ...]] = (
    (photographed,),
    (other_handwriting,),
    tuple(DISTURBANCES[name] for name in _NAMES),
    tuple(SCENES.values()),
)
"""Each digit is disturbed once for each slot, by a kind that is drawn from it at random."""
