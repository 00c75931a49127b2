"""The quarantine: retries what has ended a worker, and finds the item that does it.

A chunk that ends its worker is not lost. The record that the worker had noted is the suspect and goes to another
worker alone; the rest goes on without it. An item that ends a worker a second time, or holds one for the whole item
timeout, is quarantined: it is not read any more, and is answered as failed. Records that have ended a worker are
isolated from then on: their items are read one at a time, so that none is blamed for what many together have done.

When many items in a row have failed like this, a canary shows whether the items or the service are at fault. It is a
known digit in every format. If it is read, the workers are well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from consumer.workers.pool import WorkerPool
from consumer.workers.process import Suspect, WorkerDied
from consumer.workers.protocol import WHOLE_RECORD, Answer, Task
from contract.errors import ErrorCode
from contract.records import request_id
from transport.errors import FatalError

log = structlog.get_logger()

MAX_QUARANTINED: Final = 3
"""Items of one record that may be quarantined; with the next one the whole record is quarantined."""
CANARY: Final = Path(__file__).with_name("canary.zip")
"""A digit in every format."""
NOWHERE: Final = -1
"""The canary's partition."""


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
        self._canary = Task(canary, "", NOWHERE, 0, 0, 0, None, None)
        self._service_faults = service_faults
        self._faults_in_a_row = 0
        self._counting = asyncio.Lock()
        """Held while the canary is read: until then no other item is quarantined."""

    async def classify(self, tasks: Sequence[Task]) -> list[Answer]:
        """Answer every task, in order. The chunk of a cancelled caller is dropped, unless a worker has it.

        Raises
        ------
        FatalError
            Workers die on everything: a fault of the service, not of the records.
        """
        return await self._classify(list(tasks), is_retry=False)

    async def _classify(self, tasks: list[Task], *, is_retry: bool) -> list[Answer]:
        try:
            return await self._submit(tasks, is_retry=is_retry)
        except WorkerDied as death:
            if death.suspect is None:
                # A death on many items at once is retried one item at a time, and then the cause is known. A worker
                # that reports many items at once again does not do what it was asked to.
                if not death.is_bystander and (is_retry or not death.on_many_items):
                    await self._count_faults(str(death))
                return await self._classify(tasks, is_retry=True)
            place = _place_of(death.suspect, tasks)
            rest = tasks[:place] + tasks[place + 1 :]
            async with asyncio.TaskGroup() as group:
                alone = group.create_task(self._classify_suspect(tasks[place], death))
                others = group.create_task(self._classify(rest, is_retry=True)) if rest else None
            answers = others.result() if others else []
            return [*answers[:place], alone.result(), *answers[place:]]

    async def _classify_suspect(self, task: Task, death: WorkerDied) -> Answer:
        suspected: set[int] = set()
        while True:
            # A worker may also be killed from outside while it is on a harmless item, so an item is quarantined after
            # two deaths only. A worker that makes no progress for the whole timeout has only its item to blame.
            if death.suspect is None:
                await self._count_faults(str(death))
            elif death.code is ErrorCode.WORKER_TIMEOUT or death.suspect.item in suspected:
                await self._count_faults(str(death))
                task = self._quarantine(task, death.suspect.item, death)
            else:
                suspected.add(death.suspect.item)
            try:
                return (await self._submit([task], is_retry=True))[0]
            except WorkerDied as another:
                death = another

    def _quarantine(self, task: Task, item: int, death: WorkerDied) -> Task:
        if item in task.quarantined or len(task.quarantined) == MAX_QUARANTINED:
            item = WHOLE_RECORD
        log.warning(
            "item quarantined",
            partition=f"{task.topic}/{task.partition}",
            offset=task.offset,
            item="all" if item == WHOLE_RECORD else item,
            request_id=task.request_id or request_id(task.topic, task.partition, task.offset),
            trace_id=task.trace_id,
            code=death.code,
            action="dead-lettered",
        )
        return msgspec.structs.replace(task, quarantined=task.quarantined | {item: str(death.code)})

    async def _submit(self, tasks: list[Task], *, is_retry: bool) -> list[Answer]:
        if is_retry:
            tasks = [msgspec.structs.replace(task, isolate=True) for task in tasks]
        answers = await self._workers.submit(tasks, is_retry=is_retry)
        for answer in answers:
            # An item that failed without being read proves nothing; an item that was read proves a worker well.
            if answer.recognised + answer.unsure:
                self._faults_in_a_row = 0
            elif faults := sum(item.code == ErrorCode.INTERNAL_ERROR for item in answer.failed_items):
                await self._count_faults("internal errors", faults)
        return answers

    async def _count_faults(self, what: str, faults: int = 1) -> None:
        """Count items that fail alone; when they are many in a row, find out whether the service is at fault.

        Raises
        ------
        FatalError
            The canary is not read either.
        """
        async with self._counting:
            self._faults_in_a_row += faults
            if self._faults_in_a_row < self._service_faults:
                return
            if not await self._is_canary_read():
                raise FatalError(
                    f"{self._faults_in_a_row} items in a row failed alone (last: {what}), and a known digit is not "
                    "read either: the service is at fault, not the records; nothing of the last ones is committed"
                )
            log.error("many items failed in a row", items=self._faults_in_a_row, last=what, action="continuing")
            self._faults_in_a_row = 0

    async def _is_canary_read(self) -> bool:
        for _ in range(2):  # a worker may also be killed from outside
            try:
                (answer,) = await self._workers.submit([self._canary], is_retry=True)
            except WorkerDied:
                continue
            return not answer.failed_items
        return False


def _place_of(suspect: Suspect, tasks: list[Task]) -> int:
    return next(place for place, task in enumerate(tasks) if task.offset == suspect.offset)
