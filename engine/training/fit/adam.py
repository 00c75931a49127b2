"""Adam, the optimiser of all parts of the model that are fitted by gradient descent.

References
----------
.. [1] D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1, with the bias corrections
       of both moments moved into the step size as in section 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from engine.model.svm import Floats

Parameters = dict[str, Floats]

MOMENTUM: Final = 0.9
"""Decay of the mean of the gradients (beta 1)."""
SMOOTHING: Final = 0.999
"""Decay of the mean of their squares (beta 2)."""
_EPSILON: Final = 1e-8


class Adam:
    """Moves parameters against their gradients, each array with a step size of its own.

    Parameters
    ----------
    parameters
        Arrays by name; `step` changes them in place.
    steps
        The step size of each array, which `step` multiplies by the rate of a schedule.
    """

    def __init__(self, parameters: Parameters, steps: Mapping[str, float]) -> None:
        self.taken = 0
        """Number of steps so far."""
        self._parameters = parameters
        self._steps = steps
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}

    def step(self, gradients: Parameters, rate: float) -> None:
        """Take one step.

        Parameters
        ----------
        gradients
            The gradient of each parameter.
        rate
            Factor for all step sizes, from the caller's schedule.
        """
        self.taken += 1
        rate *= math.sqrt(1 - SMOOTHING**self.taken) / (1 - MOMENTUM**self.taken)
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            mean += (1 - MOMENTUM) * (gradient - mean)
            square += (1 - SMOOTHING) * (gradient * gradient - square)
            self._parameters[name] -= (rate * self._steps[name]) * mean / (np.sqrt(square) + _EPSILON)
