"""Checks what a worker has answered: a manipulated image may have taken control of it.

Offsets, codes and the headers of batches are checked, so that the service cannot be led to commit an offset that it has
not asked for, or to send what no broker takes. No record is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consumer.workers.tasks import MOST_SENDERS, Answer, Answers, Part, Task
from contract.errors import ErrorCode
from contract.topics import BATCH_FRAMING_BYTES, RESULTS_BATCH_BYTES
from engine.model.reference import HISTOGRAMS
from transport.batches.layout import FORMAT, HEADER_BYTES, LENGTH_FROM, NO_CODEC, BatchHeader

SENDER_CHARACTERS: Final = 100
_CODES = frozenset(map(str, ErrorCode))


class InvalidAnswerError(Exception):
    """No worker that follows the protocol answers so."""


def check_answers(answers: Answers, tasks: Sequence[Task]) -> None:
    """Check the answers to a batch of tasks.

    Raises
    ------
    InvalidAnswerError
        They do not belong to these tasks, or cannot be published.
    """
    given = answers.answers
    if not 0 < len(given) <= len(tasks):
        raise InvalidAnswerError(f"{len(given)} answers to {len(tasks)} tasks")
    if any(answer.stopped is not None for answer in given[:-1]):
        raise InvalidAnswerError("a task was stopped, and the one after it was answered")
    for answer, task in zip(given, tasks, strict=False):
        _check_offsets(answer, task)
        for part in answer.parts:
            _check_part(part, task)


def _check_offsets(answer: Answer, task: Task) -> None:
    offsets = [task.first_offset, *(part.next_offset for part in answer.parts)]
    if len(offsets) == 1 or offsets != sorted(set(offsets)):
        raise InvalidAnswerError(f"parts up to the offsets {offsets[:3]}")
    stop = answer.stopped
    if stop is None:
        is_right = offsets[-1] == task.next_offset
    else:
        is_right = stop.offset + bool(stop.cursor.items) == offsets[-1] <= task.next_offset
    if not is_right or (stop is not None and stop.offset >= task.next_offset):
        raise InvalidAnswerError(f"it ends at {offsets[-1]}, and the task at {task.next_offset}")


def _check_part(part: Part, task: Task) -> None:
    if not part.failures.keys() <= _CODES:
        raise InvalidAnswerError("an unknown error code")
    most_bytes = RESULTS_BATCH_BYTES + BATCH_FRAMING_BYTES
    if sum(_checked(batch, most_bytes) for batch in part.results) != part.answers:
        raise InvalidAnswerError("another number of results than of items")
    if len(part.readings) > MOST_SENDERS + 1 or any(len(sender) > SENDER_CHARACTERS for sender in part.readings):
        raise InvalidAnswerError("more senders, or longer names, than workers report")
    if part.model and sum(map(sum, part.readings.values())) != len(HISTOGRAMS) * (part.recognised + part.unsure):
        raise InvalidAnswerError("another number of readings than of items")
    most_bytes = max(most_bytes, task.dead_letter_bytes)
    if sum(_checked(batch, most_bytes) for batch in part.dead_letters) != part.failed:
        raise InvalidAnswerError("another number of dead letters than of failed items")


def _checked(batch: bytearray, most_bytes: int) -> int:
    """Return how many records a batch has."""
    if len(batch) <= HEADER_BYTES:
        raise InvalidAnswerError("a batch without records")
    header = BatchHeader.parse(batch)
    if (
        header.length_bytes != len(batch) - LENGTH_FROM
        or header.magic != FORMAT
        or header.codec != NO_CODEC
        or header.is_control
        or not header.is_transactional
        or header.record_count < 1
        or header.last_offset_delta != header.record_count - 1
    ):
        raise InvalidAnswerError("a batch with another header than those that workers write")
    if len(batch) > most_bytes and header.record_count > 1:
        raise InvalidAnswerError(f"a batch of {len(batch):,} bytes")
    return header.record_count
