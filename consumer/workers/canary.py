"""The canary: a known digit in every format, which is read to find out whether the workers work at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog

from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import WorkerDied
from consumer.workers.tasks import Task
from transport.batches.building import NO_HEADERS, NULL, BatchBuilder
from transport.errors import FatalError

log = structlog.get_logger()

CANARY: Final = Path(__file__).with_name("canary.zip")
"""A digit in every format."""
NOWHERE: Final = -1
"""The canary's partition."""


class FaultCounter:
    """Counts items in a row that fail alone, and sends the canary when they are many. Owner: the quarantine.

    Parameters
    ----------
    workers
        They read the canary.
    canary
        A zip archive of a known digit in every format.
    service_faults
        How many items in a row must fail alone until the canary is sent.
    """

    def __init__(self, workers: WorkerPool, canary: bytes, service_faults: int) -> None:
        self._workers = workers
        self._canary = task_of(canary)
        self._service_faults = service_faults
        self._in_a_row = 0
        self._counting = asyncio.Lock()
        """Held while the canary is read: until then no other item is quarantined."""

    def note_read(self) -> None:
        """Begin to count again, since an item was read: a worker is well."""
        self._in_a_row = 0

    async def add(self, what: str, faults: int = 1) -> None:
        """Count items that fail alone; when they are many in a row, find out whether the service is at fault.

        Raises
        ------
        FatalError
            The canary is not read either.
        """
        async with self._counting:
            self._in_a_row += faults
            if self._in_a_row < self._service_faults:
                return
            if not await self._is_canary_read():
                raise FatalError(
                    f"{self._in_a_row} items in a row failed alone (last: {what}), and a known digit is not "
                    "read either: the service is at fault, not the records; nothing of the last ones is committed"
                )
            log.error("many items failed in a row", items=self._in_a_row, last=what, action="continuing")
            self._in_a_row = 0

    async def _is_canary_read(self) -> bool:
        for _ in range(2):  # a worker may also be killed from outside
            try:
                with self._workers.claimed() as claim:
                    answered = await self._workers.submit(self._canary, claim, is_retry=True)
            except WorkerDied:
                continue
            return not any(part.failures for part in answered.parts)
        return False


def task_of(archive: bytes) -> Task:
    """Make a task of a record that no topic has; its answers are not published."""
    builder = BatchBuilder(len(archive), 0)
    builder.append(NULL, archive, NO_HEADERS)
    (batch,) = builder.build()
    return Task("canary", NOWHERE, [memoryview(batch)], 0, 1, 0, 0)
