"""Runs the machine of a scikit-learn SVC, with the same decisions as libsvm.

move      scale and project the features as the steps before the SVC did, if there were any
compare   compute the kernel with every support vector, in double precision
weigh     one binary classifier for each pair of digits adds up the kernel values of its digits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.model.imported.affine_map import AffineMap
from engine.model.imported.pair_votes import PAIRS
from engine.model.svm import DIGITS, Doubles

_KERNEL_BYTES = 8 << 20
"""Kernel values that are computed at once; `_rbf` has a few such arrays. A worker has memory for them."""

_ARRAYS: Final = ("support", "counts", "duals", "intercept")


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel of a support vector machine, as scikit-learn names its parameters."""

    name: str
    gamma: float
    coef0: float
    degree: int

    def __post_init__(self) -> None:
        """Refuse an unknown kernel.

        Raises
        ------
        ValueError
            If the name is none of `KERNELS`.
        """
        if self.name not in KERNELS:
            raise ValueError(f"the kernel must be one of {', '.join(KERNELS)}, not {self.name}")

    def __call__(self, left: Doubles, right: Doubles) -> Doubles:
        """Compare each of n rows with each of m rows: (n, m)."""
        return KERNELS[self.name](self, left, right)


def _rbf(kernel: Kernel, left: Doubles, right: Doubles) -> Doubles:
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * (left @ right.T)
    values: Doubles = np.exp(-kernel.gamma * np.maximum(squares, 0))
    return values


KERNELS: Final[Mapping[str, Callable[[Kernel, Doubles, Doubles], Doubles]]] = MappingProxyType(
    {
        "linear": lambda _, left, right: left @ right.T,
        "poly": lambda kernel, left, right: (kernel.gamma * (left @ right.T) + kernel.coef0) ** kernel.degree,
        "rbf": _rbf,
        "sigmoid": lambda kernel, left, right: np.tanh(kernel.gamma * (left @ right.T) + kernel.coef0),
    }
)


@dataclass(frozen=True, slots=True)
class SupportVectors:
    """A trained SVC with ten classes, and the affine map before it."""

    kernel: Kernel
    support: Doubles
    """(m, p): the support vectors, those of digit 0 first."""
    counts: NDArray[np.int64]
    """(10,): support vectors of each digit."""
    duals: Doubles
    """(9, m): weights of each support vector in the nine classifiers of its digit (dual coefficients)."""
    intercept: Doubles
    """(45,): of each pair's classifier."""
    before: AffineMap | None = None
    """Moves the features before they are compared."""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        count = len(self.support)
        expected = {
            "support": (count, self.support.shape[-1]),
            "counts": (DIGITS,),
            "duals": (DIGITS - 1, count),
            "intercept": (len(PAIRS),),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if self.before is not None and self.before.shift.shape != self.support.shape[1:]:
            raise ValueError(f"support has shape {self.support.shape}, but shift {self.before.shift.shape}")
        if self.counts.sum() != count or self.counts.min() < 0:
            raise ValueError(f"{count} support vectors cannot be counted as {self.counts.tolist()}")

    @property
    def features(self) -> int:
        """How many features it takes."""
        return self.support.shape[1] if self.before is None else len(self.before.factors)

    def outputs(self, features: Doubles) -> Doubles:
        """Return the outputs of all pair classifiers: (n, 45), above 0 where the smaller digit wins."""
        if self.before is not None:
            features = self.before(features)
        outputs = np.empty((len(features), len(PAIRS)))
        rows = max(1, _KERNEL_BYTES // (8 * max(1, len(self.support))))
        for start in range(0, len(features), rows):
            part = slice(start, start + rows)
            outputs[part] = self._margins(self.kernel(features[part], self.support))
        return outputs

    def _margins(self, values: Doubles) -> Doubles:
        """Add up the kernel values (n, m) for each pair."""
        ends = np.cumsum(self.counts)
        of = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        margins = np.empty((len(values), len(PAIRS)))
        for pair, (small, large) in enumerate(PAIRS):
            margins[:, pair] = (
                values[:, of[small]] @ self.duals[large - 1, of[small]]
                + values[:, of[large]] @ self.duals[small, of[large]]
                + self.intercept[pair]
            )
        return margins

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        own = {name: getattr(self, name) for name in _ARRAYS}
        return own if self.before is None else {**own, "factors": self.before.factors, "shift": self.before.shift}

    def about(self) -> dict[str, Any]:
        """Return what the manifest says about it besides."""
        return {"kernel": asdict(self.kernel)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> Self:
        """Build the machine from its arrays and what the manifest says about it.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or the parts do not belong together.
        """
        before = AffineMap(arrays["factors"], arrays["shift"]) if "factors" in arrays else None
        return cls(Kernel(**about["kernel"]), **{name: arrays[name] for name in _ARRAYS}, before=before)
