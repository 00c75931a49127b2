"""Why a file cannot be imported, and what can."""

from __future__ import annotations

from typing import Final

SUPPORTED: Final = (
    "supported are SVC, LinearSVC, SGDClassifier, LogisticRegression, and OneVsRestClassifier of LinearSVC or "
    "LogisticRegression; each also in a Pipeline after StandardScaler or PCA, and in CalibratedClassifierCV"
)


class SklearnError(Exception):
    """The file holds no model that can be imported; the message says why."""


def unsupported(what: str) -> SklearnError:
    """Return the error for something of a kind that cannot be imported."""
    return SklearnError(f"{what}; {SUPPORTED}")
