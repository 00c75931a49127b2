"""What scaling and projection before a machine do to its features."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.svm import Doubles


@dataclass(frozen=True, slots=True)
class AffineMap:
    """Features times `factors`, plus `shift`."""

    factors: Doubles
    """(d,) or (d, p): multiplies each feature, or projects all of them."""
    shift: Doubles
    """(p,)"""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        if self.factors.ndim not in (1, 2) or self.shift.shape != self.factors.shape[-1:]:
            raise ValueError(f"factors of shape {self.factors.shape} do not fit to a shift of {self.shift.shape}")

    @property
    def scales_only(self) -> bool:
        """Whether each feature is multiplied by its own factor."""
        return self.factors.ndim == 1

    def __call__(self, features: Doubles) -> Doubles:
        """Move n rows of features (n, d): (n, p)."""
        moved: Doubles = features * self.factors if self.scales_only else features @ self.factors
        moved += self.shift
        return moved
