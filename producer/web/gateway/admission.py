"""Decides by the group's lag whether more requests are taken, before the topic fills.

The rate at which the service answers is known only while it has a backlog; otherwise the rate is that of the senders.
So a request is refused for a long delay only if there is a backlog, and for a long lag in any case.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from producer.status import PartitionProgress, Snapshot, open_snapshots, partition_progress
from producer.web.gateway.interface import BusyError
from transport.errors import KafkaRequestError, describe
from transport.settings.kafka import ClientSettings

log = structlog.get_logger()

INTERVAL_S: Final = 1.0
LOOKS: Final = 300
"""After this number, the topic's partitions are listed again."""
REOPEN_PAUSE_S: Final = 1.0
BACKLOG: Final = 50
"""From this lag on, at both ends of an interval, the service was busy all the time."""
NEWEST_SHARE: Final = 0.5
"""The part that the newest interval has in the rate."""
RETRY_AFTER_S: Final = 5
"""If the rate is not known."""
MAX_RETRY_AFTER_S: Final = 600


class Admission:
    """The group's lag and rate, looked up every second. Owner: the task that runs `run`.

    Parameters
    ----------
    settings
        The brokers, topics and group.
    max_lag
        Requests that may be unanswered.
    max_delay_s
        How long a request may have to wait, if there is a backlog.
    """

    def __init__(self, settings: ClientSettings, max_lag: int, max_delay_s: float) -> None:
        self._settings = settings
        self._max_lag = max_lag
        self._max_delay_s = max_delay_s
        self._sent_since = 0
        self._lag: int | None = None
        self._busy_rate: float | None = None
        self._has_backlog = False
        self.answered_per_s = 0.0
        self.failure: str | None = "the lag is not known yet"
        """Why the lag is not known at the moment; None if it is."""

    @property
    def lag(self) -> int | None:
        """Requests that are not answered, with those that this gateway has sent since the last look."""
        return None if self._lag is None else self._lag + self._sent_since

    @property
    def delay_s(self) -> float | None:
        """How long a new request would wait; None if it is not known."""
        if self.lag is None or (self.lag and not self._busy_rate):
            return None
        return self.lag / self._busy_rate if self.lag and self._busy_rate else 0.0

    def note_sent(self) -> None:
        """Count a request that was sent since the last look."""
        self._sent_since += 1

    def check(self) -> None:
        """Refuse a request for which the service has no time.

        Raises
        ------
        BusyError
            With the time after which the lag is worked off.
        """
        if self.lag is None:
            return
        delay_s = self.delay_s
        if self.lag >= self._max_lag:
            raise BusyError(f"{self.lag:,} requests are not answered yet", _retry_after_s(delay_s))
        if self._has_backlog and delay_s is not None and delay_s > self._max_delay_s:
            raise BusyError(f"a request would wait for {delay_s:.0f} s", _retry_after_s(delay_s))

    def update(self, progress: Sequence[PartitionProgress], sent_before: int) -> None:
        """Take over what was looked up.

        Parameters
        ----------
        progress
            What was found.
        sent_before
            How many requests `note_sent` had counted when the look began. The lag has all of these. One that was sent
            later may not be in it, so it stays counted until the next look.
        """
        lag, before = sum(each.lag for each in progress), self._lag
        self.answered_per_s = sum(each.answered_per_s for each in progress)
        self._has_backlog = before is not None and min(lag, before) >= BACKLOG
        if self._has_backlog and self.answered_per_s:  # a service that restarts is not slow
            known = self.answered_per_s if self._busy_rate is None else self._busy_rate
            self._busy_rate = known + NEWEST_SHARE * (self.answered_per_s - known)
        self._lag, self.failure = lag, None
        self._sent_since -= sent_before

    async def run(self) -> None:
        """Look up the lag until it is cancelled."""
        while True:
            try:
                async with open_snapshots(self._settings) as take:
                    await self._look(take)
            except KafkaRequestError as error:
                if self.failure is None:
                    log.warning("lag unknown", why=describe(error), action="connecting again")
                self.failure = str(error)
            await asyncio.sleep(REOPEN_PAUSE_S)

    async def _look(self, take: Callable[[], Awaitable[Snapshot]]) -> None:
        before = await take()
        for _ in range(LOOKS):
            await asyncio.sleep(INTERVAL_S)
            sent_before = self._sent_since
            now = await take()
            self.update(partition_progress(now, before), sent_before)
            before = now


def _retry_after_s(delay_s: float | None) -> int:
    if delay_s is None:
        return RETRY_AFTER_S
    return max(1, min(MAX_RETRY_AFTER_S, math.ceil(delay_s)))
