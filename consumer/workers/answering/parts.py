"""Collects what is published for the records of one task, in parts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from consumer.workers.answering.dead_letters import DeadLetterWriter, Item
from consumer.workers.answering.requests import Request
from consumer.workers.answering.results import Failure, ResultWriter
from consumer.workers.answering.tally import Tally
from consumer.workers.protocol import Rules
from consumer.workers.tasks import MOST_REPORTED, WHOLE_RECORD, FailedItem, Part, SampledRecord, Task, Unread
from contract.errors import ErrorCode
from contract.topics import RESULTS_BATCH_BYTES
from contract.traceparent import may_be_sampled
from engine.errors import InternalError, fault_of
from engine.model.binning import Bins
from engine.reader import Outcome
from transport.batches.building import BatchBuilder, header_block, sized


class ReadingModel(NamedTuple):
    """What is said of the model that reads the items."""

    json: bytes
    """Name, version and checksum, for each result."""
    manifest_sha256: str = ""
    bins: Bins | None = None
    """In which its readings are counted; None if it has no reference."""


PART_BYTES: Final = RESULTS_BATCH_BYTES
"""About the most bytes of a part with more than one record."""


class PartsWriter:
    """The parts of one task. An archive is a part by itself, since it may have ten thousand results.

    Parameters
    ----------
    task
        The task.
    rules
        Which dead letters are complete, and what the service wants to know.
    model
        What reads the items.
    """

    def __init__(self, task: Task, rules: Rules, model: ReadingModel) -> None:
        self.task = task
        self.spent_bytes = task.spent_bytes
        """Bytes of the dead letters of the last record."""
        self._rules = rules
        self._model = model
        self._closed: list[Part] = []
        self._open: _PartWriter | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of what is written, about."""
        return sum(part.size_bytes for part in self._closed) + (self._open.size_bytes if self._open else 0)

    def begin(self) -> None:
        """Take the time: what is added until the next call was read just now."""
        self._now_ms = time.time_ns() // 1_000_000
        self._results = ResultWriter(self.task, self._model.json, self._now_ms)

    def add(self, request: Request, outcomes: Sequence[Outcome], total: int | None) -> None:
        """Add the outcomes of a record, or of the rest of it, if it is the one that the task resumes.

        Parameters
        ----------
        request, outcomes
            The record, and what was read of it.
        total
            How many items it has, if there are more than these; None if it is finished.
        """
        task, part = self.task, self._open
        is_archive = outcomes[0].of == "entry"
        if part is None or is_archive or part.size_bytes > PART_BYTES:
            self._close()
            part = self._open = _PartWriter(task, self._rules, self._model, self._now_ms)
        first, spent_bytes = 0, 0
        if request.offset == task.first_offset:
            first, spent_bytes = task.resume_from.items, task.spent_bytes
        self.spent_bytes = part.add(request, outcomes, first, total, self._results, spent_bytes=spent_bytes)
        if is_archive:
            self._close()

    def parts(self, *, is_finished: bool) -> list[Part]:
        """Return all parts; a finished task has one, even if none of its records was found."""
        if self._open is None and not self._closed and is_finished:
            self._open = _PartWriter(self.task, self._rules, self._model, 0)
        self._close()
        if is_finished:
            self._closed[-1].next_offset = self.task.next_offset
        return self._closed

    def _close(self) -> None:
        if self._open is not None:
            self._closed.append(self._open.part())
            self._open = None


class _PartWriter:
    """One part that is being written."""

    def __init__(self, task: Task, rules: Rules, model: ReadingModel, now_ms: int) -> None:
        self._task = task
        self._rules = rules
        self._results = BatchBuilder(RESULTS_BATCH_BYTES, now_ms)
        self._dead_letters = BatchBuilder(RESULTS_BATCH_BYTES, now_ms)
        self._part = Part(0, [], failures=Counter(), failed_items=[], sampled=[], readings={})
        self._tally = None if model.bins is None else Tally(model.bins)
        self._model = model

    @property
    def size_bytes(self) -> int:
        return self._results.size_bytes + self._dead_letters.size_bytes

    def part(self) -> Part:
        part = self._part
        part.results = self._results.build()
        part.dead_letters = self._dead_letters.build()
        if self._tally is not None:
            part.model, part.readings = self._model.manifest_sha256, self._tally.counts()
        return part

    def add(
        self,
        request: Request,
        outcomes: Sequence[Outcome],
        first: int,
        total: int | None,
        writer: ResultWriter,
        *,
        spent_bytes: int,
    ) -> int:
        """Write results and dead letters of a record; return the bytes of its dead letters so far."""
        part = self._part
        if not part.next_offset:  # it is the first record
            part.oldest_at_ms = request.timestamp_ms
        part.next_offset = request.offset + 1
        count = total or first + len(outcomes)
        key, key_bytes = sized(request.echo_key), len(request.echo_key or b"")
        failed: list[Item] = []
        places = [] if self._tally is None else self._tally.of(request.sender)
        for index, outcome in enumerate(outcomes, first):
            name = request.filename if outcome.of == "image" else outcome.name
            reading = outcome.reading
            if reading is None:
                failed.append(Item(index, count, name, self._failure(request, index, outcome), outcome))
                result = writer.write(request, index, count, name, None, failure=failed[-1].failure)
            else:
                result = writer.write(request, index, count, name, reading, seen=outcome.seen)
                places.append(reading.place)
                if reading.reason is None:
                    part.recognised += 1
                else:
                    part.unsure += 1
            part.results_bytes += key_bytes + len(result)
            self._results.append(key, result, request.echo)
        if failed:
            spent_bytes = self._add_failed(request, failed, spent_bytes)
        if request.traceparent is not None and may_be_sampled(request.traceparent):
            self._report_sampled(request, failed, count)
        if total is None:
            part.records += 1
            part.record_bytes += len(request.value)
        return spent_bytes

    def _failure(self, request: Request, index: int, outcome: Outcome) -> Failure:
        """Return why an item has no reading: the engine's error, or the error code for an item that was not read."""
        if outcome.error is not None:
            return Failure(ErrorCode(outcome.error.code), str(outcome.error))
        quarantined = self._task.quarantined.get(request.offset, {})
        verdict = request.refusal or quarantined.get(index) or quarantined.get(WHOLE_RECORD)
        code = ErrorCode(verdict or ErrorCode.RECORD_TIMEOUT)
        return Failure(code, code.sentence)

    def _add_failed(self, request: Request, failed: list[Item], spent_bytes: int) -> int:
        part = self._part
        writer = DeadLetterWriter(
            self._task, request, request_bytes=self._rules.dead_letters_bytes, spent_bytes=spent_bytes
        )
        trace_id = request.trace.trace_id if request.trace else None
        is_reported = self._rules.reports_failed_items or request.offset in self._task.quarantined
        for item in failed:
            code = str(item.failure.code)
            part.failures[code] = part.failures.get(code, 0) + 1
            letter = writer.write(item)
            part.dead_letters_bytes += len(letter.key or b"") + len(letter.value or b"")
            self._dead_letters.append(sized(letter.key), letter.value, header_block(letter.headers))
            fault = fault_of(item.outcome.error) if isinstance(item.outcome.error, InternalError) else ""
            if (is_reported or fault) and len(part.failed_items) < MOST_REPORTED:
                part.failed_items.append(
                    FailedItem(request.offset, item.index, request.request_id, trace_id, code, fault)
                )
        if request.unread:
            unread = part.unread or Unread(0, request.offset, request.unread)
            part.unread = msgspec.structs.replace(unread, count=unread.count + 1)
        return writer.spent_bytes

    def _report_sampled(self, request: Request, failed: list[Item], count: int) -> None:
        part, trace = self._part, request.trace
        if trace is None or not trace.sampled:
            return
        part.sampled_records += 1
        if not self._rules.reports_sampled or len(part.sampled) == MOST_REPORTED:
            return
        why = failed[0].failure if failed else None
        part.sampled.append(
            SampledRecord(
                request.offset,
                request.request_id,
                trace.trace_id,
                trace.span_id,
                len(request.value),
                count,
                len(failed),
                str(why.code) if why else "",
                why.message if why else "",
            )
        )
