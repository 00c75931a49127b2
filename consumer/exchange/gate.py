"""The gate: what the first worker with another model must read before the model may serve.

canary   a known digit in every format; each must be read
golden   the golden set; the model may misread as many digits as the one that serves, and a stated share more
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from consumer.exchange.golden import GoldenSet, GoldenSetError
from consumer.workers.canary import task_of
from consumer.workers.jobs import Answered, Batch, Job
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.tasks import Part, Task

MOST_MISREAD: Final = 0.5
"""If the model that serves misreads a larger share of a golden set, that says nothing about another model."""


class Refused(Exception):  # noqa: N818  # it names what happened
    """The model does not pass; the message says why."""


class Gate:
    """Tries models.

    Parameters
    ----------
    canary
        A zip archive of a known digit in every format.
    golden
        The golden set.
    margin
        The share of the golden set that a model may misread beyond those that the serving one misreads.
    """

    def __init__(self, canary: bytes, golden: GoldenSet, margin: float) -> None:
        self._canary = task_of(canary)
        self._golden = golden
        self._margin = margin

    async def misread_by(self, workers: WorkerPool) -> int:
        """Return how many digits of the golden set the serving model misreads.

        Raises
        ------
        GoldenSetError
            They are too many for the set to be of use.
        WorkerDied
            A worker ended meanwhile.
        """
        parts: list[Part] = []
        rest: Task | None = self._golden.task
        with workers.claimed() as claim:
            while rest is not None:
                answered = await workers.submit(rest, claim, is_retry=False)
                parts += answered.parts
                rest = answered.rest
        misread = self._golden.misread(parts)
        if misread > MOST_MISREAD * self._golden.digits:
            raise GoldenSetError(f"the model that serves misreads {misread} of {self._golden.digits} golden digits")
        return misread

    async def check(self, worker: WorkerProcess, misread_before: int) -> None:
        """Try a worker that does not serve yet.

        Raises
        ------
        Refused
            Its model does not pass.
        WorkerDied
            It ended meanwhile.
        """
        failed = sum(part.failed for part in await read_with(worker, self._canary))
        if failed:
            raise Refused(f"{failed} of its canaries are not read")
        try:
            misread = self._golden.misread(await read_with(worker, self._golden.task))
        except msgspec.DecodeError as error:
            raise Refused(f"its results cannot be read: {error}") from error
        most = misread_before + self._margin * self._golden.digits
        if misread > most:
            raise Refused(
                f"it misreads {misread} of {self._golden.digits} golden digits; the model that serves misreads "
                f"{misread_before}, and {most:g} are allowed"
            )


async def read_with(worker: WorkerProcess, task: Task) -> list[Part]:
    """Have one worker answer a task to its end, however many slices that takes.

    Raises
    ------
    WorkerDied
        It ended meanwhile.
    """
    parts: list[Part] = []
    rest: Task | None = task
    while rest is not None:
        answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        batch = Batch([Job(rest, answered, is_retry=False)], slow=False)
        while batch.add(await worker.answer(batch.tasks, _ignore_progress)):
            pass
        finished = answered.result()
        parts += finished.parts
        rest = finished.rest
    return parts


def _ignore_progress() -> None:
    """Do nothing: no lane waits for this worker."""
