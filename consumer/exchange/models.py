"""The models in memory: the one that serves, the one before while it may serve again, and one that is tried."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from consumer.exchange.probation import Probation
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.tally import Tally


class Models:
    """Owner: the exchanger.

    Parameters
    ----------
    serving
        The model of the start; its owner may close it, too.
    probation_s
        How long another model is on probation.
    clock
        The monotonic clock.
    """

    def __init__(self, serving: PinnedModel, probation_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._probation_s = probation_s
        self._clock = clock
        self._trusted = {serving.manifest_sha256}
        self._open = [serving]
        self.serving = serving
        self.probation: Probation | None = None
        """Of the model that serves; None if it is trusted."""

    def trusts(self, model: PinnedModel) -> bool:
        """Return whether a model has served here before, and has passed its probation."""
        return model.manifest_sha256 in self._trusted

    def add(self, model: PinnedModel) -> None:
        """Keep a model that is to be tried, until `close_others`."""
        self._open.append(model)

    def begin(self, model: PinnedModel, before: Tally) -> None:
        """Take note of the model that serves from now on, and put it on probation unless it is trusted.

        Parameters
        ----------
        model
            Which.
        before
            The answers of the one that has served until now.
        """
        ends_s = self._clock() + self._probation_s
        last = self.probation or Probation(self.serving, before, ends_s)
        # If the last one was on probation, too, the one before it stays the one to return to.
        self.serving, self.probation = model, dataclasses.replace(last, ends_s=ends_s)
        if self.trusts(model) or not self._probation_s:
            self.trust()

    def trust(self) -> None:
        """End the probation of the model that serves: it has passed."""
        self._trusted.add(self.serving.manifest_sha256)
        self.probation = None

    def go_back(self) -> PinnedModel:
        """End the probation of the model that serves: the one before serves again. Return the failed one."""
        if self.probation is None:
            raise RuntimeError("no model is on probation")
        failed, self.serving = self.serving, self.probation.trusted
        self.probation = None
        return failed

    @property
    def is_probation_over(self) -> bool:
        """True if the model that serves has been on probation for long enough."""
        return self.probation is not None and self._clock() >= self.probation.ends_s

    def close_others(self, in_use: object = None) -> None:
        """Release the memory of those that do not serve, and will not serve again.

        Parameters
        ----------
        in_use
            The information of a model that workers have, if it may not be noted here yet.
        """
        trusted = None if self.probation is None else self.probation.trusted
        for model in list(self._open):
            if model is not self.serving and model is not trusted and model.info is not in_use:
                self._open.remove(model)
                model.close()

    def close(self) -> None:
        """Release the memory of all."""
        while self._open:
            self._open.pop().close()
