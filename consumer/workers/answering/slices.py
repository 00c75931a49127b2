"""One slice of a worker's time: the tasks of a batch are answered until it is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from consumer.workers import tasks as slices
from consumer.workers.answering.groups import groups
from consumer.workers.answering.parts import PartsWriter, ReadingModel
from consumer.workers.answering.requests import Request
from consumer.workers.answering.results import LARGEST_READING, ResultWriter
from consumer.workers.challenge.sampling import Samples
from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import Rules
from consumer.workers.tasks import WHOLE_BATCH, WHOLE_RECORD, Answer, Answers, Stop, Task, Timings
from contract.errors import ErrorCode
from engine.codecs.payload import Payload
from engine.errors import EngineError
from engine.limits import Limits
from engine.reader import Outcome, Reader
from engine.resume_cursor import BEGINNING, ResumeCursor

RESULT_OVERHEAD_BYTES: Final = 512
"""Added to the computed size of a result, for its error message and the record around it."""
OUTPUT_BYTES: Final = 4 * 1024 * 1024
"""A slice ends with the group of records that reaches this: what is written would take too much memory."""


class ResultsTooLarge(EngineError):  # noqa: N818  # as the engine's own
    """The results of an archive could take more bytes than `EchoSettings.results_bytes`."""

    code = str(ErrorCode.RESULTS_TOO_LARGE)


class Answering(NamedTuple):
    """What a worker answers with, in all slices."""

    reader: Reader
    note: ProgressNote
    rules: Rules
    limits: Limits
    model: ReadingModel


class Slice:
    """One batch of tasks, and what is written of it so far."""

    def __init__(self, tasks: list[Task], answering: Answering, samples: Samples | None = None) -> None:
        self._tasks = tasks
        self._samples = samples
        self._reader, self._note, self._rules, self._limits, self._model = answering
        self._writers = [PartsWriter(task, self._rules, self._model) for task in tasks]
        self._is_plain = all(not task.quarantined and not task.resume_from.items for task in tasks)
        """True if no item must be skipped, and no record is resumed."""
        self._begun_s, self._cpu_s = time.perf_counter(), time.process_time()
        self._encode_s = 0.0

    def answers(self) -> Answers:
        """Answer the tasks in order until the slice is over."""
        started_s = time.perf_counter()
        place, stop = len(self._tasks), None
        is_first = True
        for group in groups(self._tasks, self._rules, self._limits, self._note_batch):
            if not is_first and self._is_over():
                place, stop = group[0].place, Stop(group[0].offset)
                break
            is_first = False
            if (stopped := self._answer_group(group)) is not None:
                place, stop = stopped
                break
            del group  # it may keep inflated bytes in memory, and the next group needs more
        answers = [Answer(writer.parts(is_finished=True)) for writer in self._writers[:place]]
        if stop is not None and (parts := self._writers[place].parts(is_finished=False)):
            answers.append(Answer(parts, stop))
        took_s = time.perf_counter() - started_s
        cpu_s = time.process_time() - self._cpu_s
        return Answers(answers, Timings(took_s - self._encode_s, self._encode_s, cpu_s))

    def _note_batch(self, place: int, offset: int) -> None:
        self._note.write(place, offset, WHOLE_BATCH)

    def _is_over(self) -> bool:
        return self._is_time_over() or sum(writer.size_bytes for writer in self._writers) > OUTPUT_BYTES

    def _is_time_over(self) -> bool:
        # A process cannot have used more processor time than time has passed, and to look at that takes 0.1 µs, not 2.
        if time.perf_counter() - self._begun_s <= slices.SLICE_S:
            return False
        return time.process_time() - self._cpu_s > slices.SLICE_S

    def _answer_group(self, group: list[Request]) -> tuple[int, Stop] | None:
        """Read the records of a group and write what is published for them.

        Returns
        -------
        stopped
            The place of the task that is not finished, and where; None if the whole group was answered.
        """
        read = [
            request
            for request in group
            if request.refusal is None and (self._is_plain or not self._is_refused(request))
        ]
        outcomes, cursor = self._read(read) if read else ([], None)
        if cursor is not None:
            count = _place(group, read[len(outcomes) - 1]) + 1
        else:
            count = _place(group, read[len(outcomes)]) if len(outcomes) < len(read) else len(group)
        begun_s = time.perf_counter()
        self._write(group[:count], read, outcomes, cursor)
        self._encode_s += time.perf_counter() - begun_s
        if cursor is not None:
            return self._stop_within(group[count - 1], cursor)
        return None if count == len(group) else (group[count].place, Stop(group[count].offset))

    def _stop_within(self, request: Request, cursor: ResumeCursor) -> tuple[int, Stop]:
        task = self._tasks[request.place]
        spent_s = time.process_time() - self._cpu_s
        if request.offset == task.first_offset:
            spent_s += task.resume_from.spent_s
        spent_bytes = self._writers[request.place].spent_bytes
        return request.place, Stop(request.offset, cursor._replace(spent_s=spent_s), spent_bytes)

    def _read(self, requests: list[Request]) -> tuple[list[list[Outcome]], ResumeCursor | None]:
        write_note = self._note.write

        def note_item(payload: int, item: int) -> None:
            request = requests[payload]
            write_note(request.place, request.offset, item)

        def judge(payload: int, opened: Payload) -> None:
            if not opened.is_image:
                self._check_results_size(requests[payload], opened)

        return self._reader.resume(
            # Each value is copied when it is read, so that only one copy exists at a time.
            (bytes(request.value) for request in requests),
            resume_from=() if self._is_plain else [self._begin_of(request) for request in requests],
            should_stop=self._is_time_over,
            on_item=note_item,
            on_shared=self._note.write_many_items,
            isolate=any(task.isolate for task in self._tasks),
            on_open=judge,
            skip=() if self._is_plain else [self._items_to_skip(request) for request in requests],
            keep_seen={index for index, request in enumerate(requests) if request.wants_seen},
            on_decoded=None if self._samples is None else self._samples.watch(self._tasks, requests),
        )

    def _begin_of(self, request: Request) -> ResumeCursor:
        task = self._tasks[request.place]
        return task.resume_from if request.offset == task.first_offset else BEGINNING

    def _write(
        self,
        group: Sequence[Request],
        read: Sequence[Request],
        outcomes: Sequence[list[Outcome]],
        cursor: ResumeCursor | None,
    ) -> None:
        for place in {request.place for request in group}:
            self._writers[place].begin()
        at = 0
        for request in group:
            if at < len(outcomes) and read[at] is request:
                items, at = outcomes[at], at + 1
                total = cursor.total if cursor is not None and at == len(outcomes) else None
                self._writers[request.place].add(request, items, total)
            else:
                self._writers[request.place].add(request, _NOT_READ, None)

    def _is_refused(self, request: Request) -> bool:
        quarantined = self._tasks[request.place].quarantined
        return WHOLE_RECORD in quarantined.get(request.offset, ())

    def _items_to_skip(self, request: Request) -> Collection[int]:
        """Return the indices of the items that must not be read."""
        task = self._tasks[request.place]
        if request.offset == task.first_offset and task.resume_from.spent_s > self._rules.record_timeout_s:
            return range(task.resume_from.items, sys.maxsize)  # the record has used its processor time
        return task.quarantined.get(request.offset, ())

    def _check_results_size(self, request: Request, opened: Payload) -> None:
        """Raise `ResultsTooLarge` for an archive whose results could exceed the limit, before it reads an image."""
        count, task = opened.count, self._tasks[request.place]
        writer = ResultWriter(task, self._model.json, task.received_at_ms)
        longest = writer.write(request, count, count, None, LARGEST_READING)
        each_bytes = len(longest) + request.echo_bytes + RESULT_OVERHEAD_BYTES
        size_bytes = count * each_bytes + sum(len(msgspec.json.encode(name)) for name in opened.names())
        if size_bytes > self._rules.results_bytes:
            raise ResultsTooLarge(
                f"The results of this record could take {size_bytes:,} bytes; "
                f"at most {self._rules.results_bytes:,} are allowed."
            )


_NOT_READ: Final = [Outcome()]
"""A record that must not be read is one item."""


def _place(group: Sequence[Request], request: Request) -> int:
    return next(place for place, each in enumerate(group) if each is request)
