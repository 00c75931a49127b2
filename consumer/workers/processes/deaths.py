"""How a worker may end: the item that it was reading, and what is concluded of it.

`consumer.workers.quarantine` decides what follows.
"""

from __future__ import annotations

from typing import NamedTuple

from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import WHOLE_BATCH, Task
from contract.errors import ErrorCode


class Suspect(NamedTuple):
    """The item that a worker read when it ended, from its progress note."""

    partition: int
    offset: int
    item: int
    """Its index in the record; `WHOLE_BATCH`: the batch that holds the record was inflated."""


class WorkerDied(Exception):  # noqa: N818  # it names what happened; the quarantine decides what follows
    """A worker has ended by itself, or was killed because it made no progress.

    Attributes
    ----------
    code
        An error code of the contract: worker-crashed or worker-timeout.
    suspect
        The item that it was reading; None if it had not begun, or was reading many items at once.
    is_bystander
        True for a job that shared the worker with the suspect's; then `suspect` is None.
    on_many_items
        True if it was reading many items at once, any of which may be the cause; then `suspect` is None.
    """

    def __init__(
        self,
        why: str,
        code: ErrorCode,
        suspect: Suspect | None = None,
        *,
        is_bystander: bool = False,
        on_many_items: bool = False,
    ) -> None:
        super().__init__(why)
        self.code = code
        self.suspect = suspect
        self.is_bystander = is_bystander
        self.on_many_items = on_many_items

    def for_bystander(self) -> WorkerDied:
        """Return the same error for a job that does not contain the suspect."""
        return WorkerDied(str(self), self.code, is_bystander=True)


class ChallengerDied(Exception):  # noqa: N818  # as above
    """A worker has ended while it read with the challenger, or has not stopped that for its next batch.

    It had answered its batch, and had not begun the next one: no record is at fault.
    """


class WorkerNotStarted(Exception):  # noqa: N818  # as above
    """A worker ended before it was ready, or could not be started."""


def death_of(pid: int, note: ProgressNote, tasks: list[Task], how: str, code: ErrorCode) -> WorkerDied:
    """Return the error for a worker that has ended.

    Parameters
    ----------
    pid
        Of the worker.
    note
        Its progress note.
    tasks
        What it had.
    how
        It ended: the verb of the error's sentence.
    code
        Of the contract: worker-crashed or worker-timeout.
    """
    position, on_many_items = note.position(), note.is_on_many_items()
    suspect = _suspect(position, tasks) if position is not None else None
    if suspect is not None:
        what = "the batch" if suspect.item == WHOLE_BATCH else f"item {suspect.item}"
        where = f"on {what} of the record at {tasks[0].topic}/{suspect.partition}/{suspect.offset}"
    else:
        where = "on many items of its batch at once" if on_many_items else "before its batch"
    return WorkerDied(f"worker {pid} {how} {where}", code, suspect, on_many_items=on_many_items)


def _suspect(position: tuple[int, int, int], tasks: list[Task]) -> Suspect | None:
    """Return the item of a note; None if there is none, since untrusted bytes may have overwritten the note."""
    place, offset, item = position
    if place >= len(tasks) or not tasks[place].first_offset <= offset < tasks[place].next_offset:
        return None
    return Suspect(tasks[place].partition, offset, item)
