"""What a worker is asked for, and what it answers: tasks, parts, and where a slice has stopped."""

from __future__ import annotations

from operator import add
from typing import Annotated, Final

import msgspec

from engine.resume_cursor import BEGINNING, ResumeCursor
from transport.batches.layout import BatchHeader

SLICE_S: Final = 0.5
"""Processor time of a slice. A task that takes longer is returned unfinished, between two items, so that tasks of other
lanes are not delayed."""
WHOLE_RECORD: Final = -1
"""Used as an index of quarantined items: no part of the record is read, and it is answered as one failed item."""
WHOLE_BATCH: Final = 0xFFFF_FFFE
"""Used as an index of items: the batch that holds the record is inflated and scanned. If it is quarantined, its records
are not found any more, and each is answered as one failed item."""

OTHERS: Final = "other"
"""Stands for senders beyond the first ones, and for records that name none."""
MOST_SENDERS: Final = 10
"""Senders of a part whose readings are counted one by one, beside `OTHERS`."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Consecutive records of one partition, in the batches in which they were fetched."""

    topic: str
    partition: int
    batches: list[memoryview]
    """Whole batches. Of one that must not be read there is only the header."""
    first_offset: int
    """The first batch may have records before it: they are not read."""
    next_offset: int
    """Where the records end. It is committed with them, so it may lie after markers that follow the last batch."""
    received_at_ms: int
    """When the batches were fetched, in ms since 1970."""
    dead_letter_bytes: int
    """The largest record that the dead-letter topic accepts."""
    quarantined: dict[int, dict[int, str]] = {}
    """Error codes of the items that must not be read, since they have ended a worker; by offset and item."""
    resume_from: ResumeCursor = BEGINNING
    """Position up to which the first record was read in earlier slices."""
    spent_bytes: int = 0
    """Bytes of the first record's dead letters that earlier slices have written."""
    isolate: bool = False
    """True if a worker died while it had these records. Then all items are read one at a time."""

    @property
    def size_bytes(self) -> int:
        """Bytes that go to the worker."""
        return sum(map(len, self.batches))

    @property
    def records(self) -> int:
        """How many records it has; fewer if compaction has removed some before it."""
        return sum(
            records_between(BatchHeader.parse(each), self.first_offset, self.next_offset) for each in self.batches
        )

    def between(self, first_offset: int, next_offset: int) -> Task:
        """Return the part of it from one offset up to another one."""
        headers = ((batch, BatchHeader.parse(batch)) for batch in self.batches)
        kept = [
            batch
            for batch, header in headers
            if header.base_offset < next_offset and header.last_offset >= first_offset
        ]
        resumes = first_offset == self.first_offset
        return msgspec.structs.replace(
            self,
            batches=kept,
            first_offset=first_offset,
            next_offset=next_offset,
            resume_from=self.resume_from if resumes else BEGINNING,
            spent_bytes=self.spent_bytes if resumes else 0,
        )

    def resumed(self, stop: Stop) -> Task:
        """Return what is left of it after a slice."""
        rest = self.between(stop.offset, self.next_offset)
        return msgspec.structs.replace(rest, resume_from=stop.cursor, spent_bytes=stop.spent_bytes)


def records_between(header: BatchHeader, first_offset: int, next_offset: int) -> int:
    """Return how many records of a batch lie between two offsets, at most."""
    span = min(header.last_offset + 1, next_offset) - max(header.base_offset, first_offset)
    return max(0, min(header.record_count, span))


class FailedItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the log says of an item without a prediction, and what a report says of a fault."""

    offset: int
    item: int
    request_id: str
    trace_id: str | None
    code: str
    fault: str = ""
    """Of an internal error: the type of its cause, and where that was raised."""


class SampledRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the trace of a record says, if its sender has sampled it."""

    offset: int
    request_id: str
    trace_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    span_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    record_bytes: Count
    items: Count
    failed: Count
    code: str
    """Of the first failed item; empty if none failed."""
    message: str

    def followed_by(self, rest: SampledRecord) -> SampledRecord:
        """Join what two slices report of one record."""
        first = self if self.code else rest
        return msgspec.structs.replace(self, failed=self.failed + rest.failed, code=first.code, message=first.message)


class Unread(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the log says of records that cannot be parsed: one line for all, since a sender could cause thousands."""

    count: Count
    first_offset: int
    why: str


class Part(msgspec.Struct, array_like=True, gc=False):
    """What is published for consecutive records: one transaction has all of it. An archive is a part by itself."""

    next_offset: int
    """The offset after them."""
    results: list[bytearray]
    """Record batches."""
    dead_letters: list[bytearray] = []
    """Record batches."""
    records: Count = 0
    record_bytes: Count = 0
    oldest_at_ms: int = -1
    """Timestamp of the first record, in ms since 1970; -1 if it has none."""
    recognised: Count = 0
    unsure: Count = 0
    failures: dict[str, Count] = {}
    """Failed items, by error code."""
    results_bytes: Count = 0
    """Bytes of keys and values."""
    dead_letters_bytes: Count = 0
    """Bytes of keys and values."""
    failed_items: list[FailedItem] = []
    """The first ones of those that are quarantined or met an internal error; of all, if the service logs them."""
    sampled: list[SampledRecord] = []
    """The first ones, if the service records traces."""
    sampled_records: Count = 0
    """How many there are."""
    unread: Unread | None = None
    model: str = ""
    """The sha256 of the manifest of the model that has read it, if that has a reference."""
    readings: dict[str, list[Count]] = {}
    """How many recognised and unsure images are in each bin of that reference, by sender; of the first senders."""

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in the service's memory until it is published."""
        return sum(map(len, self.results)) + sum(map(len, self.dead_letters))

    @property
    def failed(self) -> int:
        """How many images it answers as failed."""
        return sum(self.failures.values())

    @property
    def answers(self) -> int:
        """How many images it answers: recognised, unsure or failed."""
        return self.recognised + self.unsure + self.failed

    def followed_by(self, rest: Part) -> Part:
        """Join what two slices have written for one record. Do not use this object afterwards: its lists are reused."""
        self.next_offset = rest.next_offset
        self.results += rest.results
        self.dead_letters += rest.dead_letters
        self.recognised += rest.recognised
        self.unsure += rest.unsure
        self.failures = {
            code: self.failures.get(code, 0) + rest.failures.get(code, 0) for code in self.failures | rest.failures
        }
        self.results_bytes += rest.results_bytes
        self.dead_letters_bytes += rest.dead_letters_bytes
        self.failed_items = (self.failed_items + rest.failed_items)[:MOST_REPORTED]
        self.sampled = [*map(SampledRecord.followed_by, self.sampled, rest.sampled)]
        for sender, counts in rest.readings.items():
            before = self.readings.get(sender)
            self.readings[sender] = counts if before is None else [*map(add, before, counts)]
        self.records += rest.records
        self.record_bytes += rest.record_bytes
        return self


MOST_REPORTED: Final = 256
"""Of a part, the most failed items that are logged, and the most records that are traced."""


class Stop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a task was stopped."""

    offset: int
    """Of the next record, or of the one that is read in part."""
    cursor: ResumeCursor = BEGINNING
    """Position up to which that record is read. Its part is then the last one, and incomplete."""
    spent_bytes: Count = 0
    """Bytes of its dead letters so far."""


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is published for a task: at least one part."""

    parts: list[Part]
    stopped: Stop | None = None
    """None if the task is finished."""


class Timings(msgspec.Struct, frozen=True, array_like=True):
    """Seconds that a batch spent in a worker."""

    read_s: float
    encode_s: float
    cpu_s: float
    """Processor time of the batch; it does not depend on how busy the machine is."""


class Answers(msgspec.Struct, frozen=True):
    """The answers to a batch of tasks, in their order: at least one, and fewer than tasks if the slice was over."""

    answers: list[Answer]
    timings: Timings
    is_challenged: bool = False
    """True if the report of a challenge follows, before the next answers."""
