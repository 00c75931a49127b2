"""The pool: has records classified by worker processes of which each may die alone.

A batch that ends its worker is not lost. The record that the worker had noted is suspected and goes to
another worker alone, the rest goes on without it; only an item that ends a worker a second time, or that
holds one for the item timeout, is condemned: it is left out and answered as failed. What has ended a worker
is read one item at a time from then on, so that none is blamed for what was done to many at once.

When many items in a row have failed like this, a canary tells poison from a fault of the service: a known digit in
every format. If that is read, the workers are well.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import structlog

from consumer.workers.pool import WorkerPool
from consumer.workers.process import WorkerDied
from consumer.workers.protocol import WHOLE_RECORD, Answer, Task
from contract.errors import ErrorCode
from contract.records import request_id
from transport.errors import FatalError

log = structlog.get_logger()

CONDEMNED_PER_RECORD: Final = 3
"""Items of one record that may be condemned; with the next one the whole record is."""
CANARY: Final = Path(__file__).with_name("canary.zip")
"""A digit in every format."""
NOWHERE: Final = -1
"""The canary's partition."""


class Quarantine:
    """Who is guilty of a worker's end, and when it is the service itself. Lanes call `classify`."""

    def __init__(self, workers: WorkerPool, canary: bytes, *, service_faults: int) -> None:
        self._workers = workers
        self._canary = Task(canary, "", NOWHERE, 0, 0, 0, None, None)
        self._service_faults = service_faults
        self._faults_in_a_row = 0
        self._verdict = asyncio.Lock()
        """Held while the canary is out: until then nobody else is condemned."""

    async def classify(self, tasks: list[Task]) -> list[Answer]:
        """Answer every task, in order. A cancelled caller's batch is dropped, unless a worker has it.

        Raises
        ------
        FatalError
            Workers die on everything: a fault of the service, not of the records.
        """
        return await self._classify(tasks, again=False)

    async def _classify(self, tasks: list[Task], *, again: bool) -> list[Answer]:
        try:
            return await self._submit(tasks, again=again)
        except WorkerDied as death:
            if death.position is None:
                # Many at once: the next time it is one by one, and the guilty one is known. A worker that says
                # so again does not do as it is told.
                if not death.bystander and (again or not death.together):
                    await self._count_faults(str(death))
                return await self._classify(tasks, again=True)
            suspect = death.position[0]
            rest = tasks[:suspect] + tasks[suspect + 1 :]
            async with asyncio.TaskGroup() as group:
                alone = group.create_task(self._classify_suspect(tasks[suspect], death))
                others = group.create_task(self._classify(rest, again=True)) if rest else None
            answers = others.result() if others else []
            return [*answers[:suspect], alone.result(), *answers[suspect:]]

    async def _classify_suspect(self, task: Task, death: WorkerDied) -> Answer:
        suspected: set[int] = set()
        while True:
            # A worker may also be killed from outside, and its item be innocent: that takes two deaths to
            # tell. A worker that does not move for the whole timeout has only its item to blame.
            if death.position is None:
                await self._count_faults(str(death))
            elif death.code is ErrorCode.WORKER_TIMEOUT or death.position[1] in suspected:
                await self._count_faults(str(death))
                task = self._condemn(task, death.position[1], death)
            else:
                suspected.add(death.position[1])
            try:
                return (await self._submit([task], again=True))[0]
            except WorkerDied as again:
                death = again

    def _condemn(self, task: Task, item: int, death: WorkerDied) -> Task:
        if item in task.condemned or len(task.condemned) == CONDEMNED_PER_RECORD:
            item = WHOLE_RECORD
        log.warning(
            "item condemned",
            partition=f"{task.topic}/{task.partition}",
            offset=task.offset,
            item="all" if item == WHOLE_RECORD else item,
            request_id=task.request_id or request_id(task.topic, task.partition, task.offset),
            trace_id=task.trace_id,
            code=death.code,
            action="it is answered as failed, its bytes go to the dead-letter topic",
        )
        return msgspec.structs.replace(task, condemned=task.condemned | {item: str(death.code)})

    async def _submit(self, tasks: list[Task], *, again: bool) -> list[Answer]:
        if again:
            tasks = [msgspec.structs.replace(task, one_by_one=True) for task in tasks]
        answers = await self._workers.submit(tasks, again=again)
        for answer in answers:
            # Who fails without being touched proves nothing, who is read does.
            if answer.recognised + answer.unsure:
                self._faults_in_a_row = 0
            elif faults := sum(letter.code == ErrorCode.INTERNAL_ERROR for letter in answer.dead_letters):
                await self._count_faults("internal errors", faults)
        return answers

    async def _count_faults(self, what: str, faults: int = 1) -> None:
        """Count items that fail alone; when they are many in a row, find out whose fault it is.

        Raises
        ------
        FatalError
            The canary is not read either.
        """
        async with self._verdict:
            self._faults_in_a_row += faults
            if self._faults_in_a_row < self._service_faults:
                return
            if not await self._is_canary_read():
                raise FatalError(
                    f"{self._faults_in_a_row} items in a row failed alone (last: {what}), and a known digit is not "
                    "read either: the service is at fault, not the records; nothing of the last ones is committed"
                )
            log.error(
                "many items failed in a row",
                items=self._faults_in_a_row,
                last=what,
                action="a known digit is read in every format, so the service goes on",
            )
            self._faults_in_a_row = 0

    async def _is_canary_read(self) -> bool:
        for _ in range(2):  # a worker may also be killed from outside
            try:
                (answer,) = await self._workers.submit([self._canary], again=True)
            except WorkerDied:
                continue
            return not answer.dead_letters
        return False
