"""The two sets of sources: kinds to learn from, and kinds that the reject head has never seen."""

from __future__ import annotations

from typing import Final, Literal

Split = Literal["train", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "test")
"""`train`: kinds that are learned. `test`: kinds that are never learned, so that their share that passes is honest."""
