"""The steps before a classifier, scaling and projection, as one affine map."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from engine.model.imported.affine_map import AffineMap
from engine.model.svm import Doubles
from engine.training.sklearn_import.errors import unsupported
from engine.training.sklearn_import.values import doubles


def folded(before: AffineMap, weights: Doubles, bias: Doubles) -> tuple[Doubles, Doubles]:
    """Return weights (d, c) and bias (c,) that do with the features what the given ones do after the map."""
    moved = before.factors[:, None] * weights if before.scales_only else before.factors @ weights
    return moved, bias + before.shift @ weights


def _joined(first: AffineMap, second: AffineMap) -> AffineMap:
    """Return the map that is one followed by another."""
    if second.scales_only:
        return AffineMap(first.factors * second.factors, first.shift * second.factors + second.shift)
    return AffineMap(*folded(first, second.factors, second.shift))


def with_step(before: AffineMap | None, step: Any) -> AffineMap | None:
    """Add a fitted step of a pipeline to the map before it; None is no map.

    Raises
    ------
    SklearnError
        If the step is of another kind than StandardScaler or PCA, or is not fitted.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return before
    if type(step) not in (StandardScaler, PCA):
        raise unsupported(f"the pipeline has the step {type(step).__name__}")
    check_is_fitted(step)
    own = _scaling(step) if type(step) is StandardScaler else _projection(step)
    return own if before is None else _joined(before, own)


def _scaling(step: StandardScaler) -> AffineMap:
    count = step.n_features_in_
    scale = np.ones(count) if step.scale_ is None else doubles(step, "scale_")
    mean = doubles(step, "mean_") if step.with_mean else np.zeros(count)
    return AffineMap(1 / scale, -mean / scale)


def _projection(step: PCA) -> AffineMap:
    components, mean = doubles(step, "components_"), doubles(step, "mean_")
    scale = np.ones(len(components))
    if step.whiten:
        scale = np.maximum(np.sqrt(doubles(step, "explained_variance_")), np.finfo(np.float64).eps)
    factors = components.T / scale
    return AffineMap(factors, -mean @ factors)
