"""The source of one lane: what it has fetched of its partition, and from where it goes on."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from transport.batches.splitting import RawBatch, split_batches
from transport.errors import FatalError, OwnershipLost

log = structlog.get_logger()

IDLE_S: Final = 1.0
"""A fetch that finds nothing returns after this time."""
CORRUPT_FETCHES: Final = 5
"""Fetches in a row with a wrong checksum after which the log counts as damaged, and not the transfer."""


PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
"""After a refusal, and after more of them in a row; the last one repeats."""


class Pauses:
    """The growing pauses after failures in a row. Owner: the task of a broker."""

    def __init__(self) -> None:
        self._failures = 0
        self._over_at_s = -math.inf

    def next_s(self) -> float:
        """Count a failure, and return how long to pause."""
        self._failures += 1
        return PAUSES_S[min(self._failures, len(PAUSES_S)) - 1]

    def begin(self) -> None:
        """Count a failure; from now on the pause is running."""
        self._over_at_s = time.monotonic() + self.next_s()

    def reset(self) -> None:
        """End the pause, and count from the beginning."""
        self._failures, self._over_at_s = 0, -math.inf

    @property
    def left_s(self) -> float:
        """Seconds until the pause is over."""
        return max(0.0, self._over_at_s - time.monotonic())

    @property
    def are_over(self) -> bool:
        """True if no pause is running."""
        return self._over_at_s <= time.monotonic()


class Fetched(NamedTuple):
    """What one fetch has brought."""

    batches: list[RawBatch]
    """In order. Records of the first one may lie before `from_offset`: they are not part of this."""
    from_offset: int
    next_offset: int
    """After all batches, and after markers and aborted records."""


class PartitionSource:
    """The fetch position of one partition. Owner: the fetching task of its lane; the task of the broker fills it.

    Parameters
    ----------
    partition, offset
        Where to begin.
    has_room
        Returns whether anything may be fetched.
    wake
        Is called when the lane waits for data.
    """

    def __init__(
        self,
        partition: TopicPartition,
        offset: int,
        has_room: Callable[[], bool],
        wake: Callable[[PartitionSource], None],
    ) -> None:
        self.partition = partition
        self.offset = offset
        """The position after the last `fetch`: all records before it were returned."""
        self.stable_offset: int | None = None
        """The end of what may be read, as of the last fetch."""
        self.has_room = has_room
        self._wake = wake
        self.pauses = Pauses()
        """After a broker has refused the partition."""
        self._arriving: asyncio.Future[Fetched] | None = None
        self._corrupt_in_a_row = 0

    async def fetch(self) -> Fetched:
        """Wait up to `IDLE_S` for records and return the batches that have arrived, in order.

        Markers and aborted records are left out, so `offset` may advance without a batch.

        Raises
        ------
        OwnershipLost
            The position is outside of the log; the next lane reads the committed offset again.
        FatalError
            We may not read the topic, or the log is damaged.
        """
        self._arriving = asyncio.get_running_loop().create_future()
        self._wake(self)
        try:
            async with asyncio.timeout(IDLE_S):
                fetched = await self._arriving
        except TimeoutError:
            return Fetched([], self.offset, self.offset)
        finally:
            self._arriving = None
        self.offset = fetched.next_offset
        return fetched

    @property
    def is_waiting(self) -> bool:
        """True while the lane waits for data."""
        return self._arriving is not None and not self._arriving.done()

    def lag_records(self) -> int:
        """Return the offsets from the position to the last stable offset, as of the last fetch."""
        return 0 if self.stable_offset is None else max(0, self.stable_offset - self.offset)

    def receive(self, data: bytes | None, aborted: list[tuple[int, int]] | None) -> int:
        """Give the lane what a broker has returned for a request from `offset` on; return how many batches it gets."""
        if self._arriving is None or self._arriving.done():
            return 0  # the lane has ended, or has given up this fetch; the next one asks again
        try:
            split = split_batches(self.partition, data or b"", fetched_from=self.offset, aborted=aborted)
        except FatalError as error:
            self.fail(error)
        except CorruptRecordException as error:
            self._count_corruption(error)
        else:
            self.pauses.reset()
            self._corrupt_in_a_row = 0
            if split.next_offset > self.offset:
                self._arriving.set_result(Fetched(split.batches, self.offset, split.next_offset))
                return len(split.batches)
        return 0

    def fail(self, error: FatalError | OwnershipLost) -> None:
        """End the lane's fetch with an error."""
        if self._arriving is not None and not self._arriving.done():
            self._arriving.set_exception(error)

    def _count_corruption(self, error: CorruptRecordException) -> None:
        self._corrupt_in_a_row += 1
        self.pauses.begin()
        name = f"{self.partition.topic}/{self.partition.partition}"
        log.warning("wrong checksum", partition=name, attempt=self._corrupt_in_a_row, why=str(error), action="retrying")
        if self._corrupt_in_a_row == CORRUPT_FETCHES:
            self.fail(FatalError(f"the log of {name} is damaged after offset {self.offset}"))
