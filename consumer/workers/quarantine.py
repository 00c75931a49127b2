"""The quarantine: retries what has ended a worker, and finds the item that does it.

A task that ends its worker is not lost. The record that the worker had noted is the suspect: the task is cut into the
records before it, the suspect alone, and the records after it. An item that ends a worker a second time, or holds one
for the whole item timeout, is quarantined: it is not read any more, and is answered as failed. The same goes for a
batch that ends a worker while it is inflated; then nothing is known of its records. Records that have ended a worker
are isolated from then on: their items are read one at a time, so that none is blamed for what many together have done.

When many items in a row have failed like this, the canary shows whether the items or the service are at fault.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from consumer.workers.canary import FaultCounter
from consumer.workers.crew import Claim
from consumer.workers.jobs import Answered
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import Suspect, WorkerDied
from consumer.workers.tasks import WHOLE_BATCH, WHOLE_RECORD, Part, Task
from contract.errors import ErrorCode
from transport.batches.layout import BatchHeader

log = structlog.get_logger()

MAX_QUARANTINED: Final = 3
"""Items of one record that may be quarantined; with the next one the whole record is quarantined."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A task, and what is known of it from earlier attempts."""

    task: Task
    is_retry: bool = False
    has_begun: bool = False
    suspected: frozenset[int] | None = None
    """Of a single record or batch: the items on which workers have ended. None for other tasks."""

    def is_alone(self, suspect: Suspect | None) -> bool:
        """Return True if it is the suspect, and nothing else is in it."""
        if self.suspected is None or suspect is None:
            return self.suspected is not None
        return suspect.item == WHOLE_BATCH or self.task.next_offset == self.task.first_offset + 1


class Quarantine:
    """Classifies records with the worker pool. Lanes call `classify`.

    Parameters
    ----------
    workers
        The pool.
    canary
        A zip archive of a known digit in every format.
    service_faults
        How many items in a row must fail alone until the canary is sent.
    """

    def __init__(self, workers: WorkerPool, canary: bytes, *, service_faults: int) -> None:
        self._workers = workers
        self._faults = FaultCounter(workers, canary, service_faults)

    async def classify(self, task: Task) -> AsyncGenerator[Part, None]:
        """Yield what is published for a task, in order. Each part is asked for when it is wanted.

        Raises
        ------
        FatalError
            Workers die on everything: a fault of the service, not of the records.
        """
        attempts = deque([_Attempt(task)])
        with self._workers.claimed() as claim:
            while attempts:
                attempt = attempts.popleft()
                try:
                    answered = await self._submit(attempt, claim)
                except WorkerDied as death:
                    attempts.extendleft(reversed(await self._after(death, attempt)))
                    continue
                if answered.rest is not None:
                    attempts.appendleft(dataclasses.replace(attempt, task=answered.rest, has_begun=True))
                _log_quarantined(attempt.task, answered.parts)
                for part in answered.parts:
                    yield part

    async def _after(self, death: WorkerDied, attempt: _Attempt) -> list[_Attempt]:
        """Return what is to be tried after a worker has died on a task."""
        if attempt.is_alone(death.suspect):
            return [await self._after_another(death, attempt)]
        if death.suspect is None:
            # A death on many items at once is retried one item at a time, and then the cause is known. A worker that
            # reports many items at once again does not do what it was asked to.
            if not death.is_bystander and (attempt.is_retry or not death.on_many_items):
                await self._faults.add(str(death))
            return [dataclasses.replace(attempt, is_retry=True)]
        first, next_offset = _span_of(death.suspect, attempt.task)
        alone = dataclasses.replace(
            attempt, task=attempt.task.between(first, next_offset), is_retry=True, suspected=frozenset()
        )
        task = attempt.task
        around = [
            dataclasses.replace(attempt, task=task.between(*span), is_retry=True) if span[0] < span[1] else None
            for span in ((task.first_offset, first), (next_offset, task.next_offset))
        ]
        found = [around[0], await self._after_another(death, alone), around[1]]
        return [each for each in found if each is not None]

    async def _after_another(self, death: WorkerDied, attempt: _Attempt) -> _Attempt:
        """Return what is to be tried after a worker has died on a record, or a batch, that it had alone."""
        # A worker may also be killed from outside while it is on a harmless item, so an item is quarantined after two
        # deaths only. A worker that makes no progress for the whole timeout has only its item to blame.
        suspect, suspected = death.suspect, attempt.suspected or frozenset()
        if suspect is None:
            await self._faults.add(str(death))
            return attempt
        if death.code is ErrorCode.WORKER_TIMEOUT or suspect.item in suspected:
            await self._faults.add(str(death))
            return dataclasses.replace(attempt, task=_quarantined(attempt.task, suspect, str(death.code)))
        return dataclasses.replace(attempt, suspected=suspected | {suspect.item})

    async def _submit(self, attempt: _Attempt, claim: Claim) -> Answered:
        task = msgspec.structs.replace(attempt.task, isolate=True) if attempt.is_retry else attempt.task
        answered = await self._workers.submit(task, claim, is_retry=attempt.is_retry, has_begun=attempt.has_begun)
        for part in answered.parts:
            # An item that failed without being read proves nothing; an item that was read proves a worker well.
            if part.recognised + part.unsure:
                self._faults.note_read()
            elif faults := part.failures.get(ErrorCode.INTERNAL_ERROR, 0):
                await self._faults.add("internal errors", faults)
        return answered


def _span_of(suspect: Suspect, task: Task) -> tuple[int, int]:
    """Return the offsets of what is suspected: a record, or a batch."""
    if suspect.item != WHOLE_BATCH:
        return suspect.offset, suspect.offset + 1
    for header in map(BatchHeader.parse, task.batches):
        if header.base_offset <= suspect.offset <= header.last_offset:
            return max(header.base_offset, task.first_offset), min(header.last_offset + 1, task.next_offset)
    return suspect.offset, suspect.offset + 1


def _quarantined(task: Task, suspect: Suspect, code: str) -> Task:
    items, item = task.quarantined.get(suspect.offset, {}), suspect.item
    if item != WHOLE_BATCH and (item in items or len(items) == MAX_QUARANTINED):
        item = WHOLE_RECORD
    return msgspec.structs.replace(task, quarantined=task.quarantined | {suspect.offset: items | {item: code}})


def _log_quarantined(task: Task, parts: list[Part]) -> None:
    """Log what is answered without being read; only the answer says which request that is."""
    for offset, items in task.quarantined.items():
        whole = next((word for item, word in _WHOLE.items() if item in items), None)
        failed = [each for part in parts for each in part.failed_items if each.offset == offset]
        for each in failed[:1] if whole else failed:
            if whole or each.item in items:
                log.warning(
                    "item quarantined",
                    partition=f"{task.topic}/{task.partition}",
                    offset=offset,
                    item=whole or each.item,
                    request_id=each.request_id,
                    trace_id=each.trace_id,
                    code=each.code,
                    action="dead-lettered",
                )


_WHOLE: Final = {WHOLE_RECORD: "all", WHOLE_BATCH: "all of its batch"}
"""What is logged instead of an item."""
