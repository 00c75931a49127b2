"""The rollout over the instances of a group: which of them exchanges the model next.

The owner of partition 0 goes first. Another one waits until

* the newest result of partition 0 has named the new model for one and a half probations, and
* the newest result of the partition before its own first one names it, so that one instance goes after the other.

So the results, which all instances can read, are all that the instances know of each other. If the first one refuses
the model, or returns from it, it goes on to answer with the old one, and all others wait. If it dies, another instance
owns partition 0, and goes first. A partition without new results cannot show anything: after two probations it is not
waited for any more.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from contract.records import Result
from engine.model.files import ModelInfo

FIRST: Final = 0
"""The partition whose owner goes first."""
FIRST_PROBATIONS: Final = 1.5
"""The first instance begins its probation when its old workers have ended, so after its first results of the new model.
And its return takes some seconds."""
SILENT_PROBATIONS: Final = 2.0


class RolloutUnknown(Exception):  # noqa: N818  # it names what happened
    """The results cannot be read, so it is not known which instance is next; the message says why."""


NewestResult = Callable[[int], Awaitable[Result | None]]
"""Returns the newest result of a partition of requests; None if there is none. Raises `RolloutUnknown`."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the newest result of a partition has shown, and since when."""

    offset: int | None
    """Of its request."""
    is_new: bool
    """True if it names the new model."""
    since_s: float

    def lasts(self, next_one: _Seen) -> bool:
        """Return whether a later look shows the same: further results of the new model, or no further result."""
        if self.is_new or next_one.is_new:
            return self.is_new and next_one.is_new
        return self.offset == next_one.offset


class Rollout:
    """Decides whether this instance may exchange the model now. Owner: the task ``model``.

    Parameters
    ----------
    own
        Returns the partitions of this instance.
    newest
        Reads the results of others.
    probation_s
        How long a model is on probation; 0: no instance waits.
    clock
        The monotonic clock.
    """

    def __init__(
        self,
        own: Callable[[], Collection[int]],
        newest: NewestResult,
        probation_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._newest = newest
        self._probation_s = probation_s
        self._clock = clock
        self._model: ModelInfo | None = None
        self._seen: dict[int, _Seen] = {}

    async def waits_for(self, model: ModelInfo) -> str:
        """Return what must happen before this instance tries a model; empty if it may do so now.

        Raises
        ------
        RolloutUnknown
            The results of others cannot be read.
        """
        own = self._own()
        if not self._probation_s or FIRST in own:
            return ""
        if model != self._model:
            self._model, self._seen = model, {}
        before = min(own, default=FIRST + 1) - 1
        waits = [await self._waits_for(FIRST, model, FIRST_PROBATIONS * self._probation_s)]
        if before != FIRST:
            waits.append(await self._waits_for(before, model, 0))
        return next(filter(None, waits), "")

    async def _waits_for(self, partition: int, model: ModelInfo, answered_s: float) -> str:
        result = await self._newest(partition)
        now_s = self._clock()
        seen = _Seen(
            None if result is None else result.source.offset,
            result is not None and ModelInfo(**result.model.model_dump()) == model,
            now_s,
        )
        earlier = self._seen.get(partition)
        if earlier is not None and earlier.lasts(seen):
            seen = earlier
        self._seen[partition] = seen
        if now_s - seen.since_s >= (answered_s if seen.is_new else SILENT_PROBATIONS * self._probation_s):
            return ""
        named = f"{model.name} {model.version}"
        return f"partition {partition} to be answered by {named}" + (f" for {answered_s:g} s" if answered_s else "")
