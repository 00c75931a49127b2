"""Finds the records of tasks: inflates and scans their batches, and gives the records in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, repeat
from typing import Final

from consumer.workers.answering.requests import Request, RequestReader
from consumer.workers.batches.rows import OFFSET, Block, Row
from consumer.workers.batches.scanning import scan, unread
from consumer.workers.protocol import Rules
from consumer.workers.tasks import WHOLE_BATCH, Task
from contract.errors import ErrorCode
from engine.limits import Limits
from transport.batches.layout import HEADER_BYTES, NO_CODEC, BatchHeader

GROUP_RECORDS: Final = 256
"""As many as the engine classifies at once."""
GROUP_INFLATED_BYTES: Final = 4 * 1024 * 1024
"""A group ends with the compressed batch that reaches this: its inflated bytes stay in memory until it is answered."""

OnBatch = Callable[[int, int], None]
"""Called with a task's place and an offset before the batch that holds it is inflated and scanned."""


def groups(tasks: Sequence[Task], rules: Rules, limits: Limits, on_batch: OnBatch) -> Iterator[list[Request]]:
    """Yield the records of tasks in order. Later batches are inflated only after the groups before were used."""
    group: list[Request] = []
    for place, task in enumerate(tasks):
        reader = RequestReader(place, task, rules, limits)
        for requests in _requests(task, reader, rules.inflated_bytes, partial(on_batch, place)):
            if requests is None and group:
                yield group
                group = []
            while requests is not None:
                group += islice(requests, GROUP_RECORDS - len(group))
                if len(group) < GROUP_RECORDS:
                    break
                yield group
                group = []
            del requests  # it may keep inflated bytes in memory
    if group:
        yield group


def _requests(
    task: Task, reader: RequestReader, inflated_bytes: int, on_batch: Callable[[int], None]
) -> Iterator[Iterator[Request] | None]:
    """Yield the records of a task, those of each block as they are asked for, and None where the group has to end."""
    held_bytes = 0
    for batch in task.batches:
        header = BatchHeader.parse(batch)
        if header.codec != NO_CODEC:
            on_batch(max(header.base_offset, task.first_offset))
        verdict = _verdict(task, header)
        block = None
        for block, rows in _rows(task, batch, header, inflated_bytes, is_harmful=verdict is not None):
            yield map(reader.request, repeat(block), rows, repeat(verdict))
        if header.codec != NO_CODEC and block is not None:
            held_bytes += len(block.data)
        del block
        if held_bytes > GROUP_INFLATED_BYTES:
            yield None
            held_bytes = 0


def _rows(
    task: Task, batch: memoryview, header: BatchHeader, inflated_bytes: int, *, is_harmful: bool
) -> Iterator[tuple[Block, list[Row]]]:
    """Scan a batch, and give the records that belong to the task."""
    is_whole = header.base_offset >= task.first_offset and header.last_offset < task.next_offset
    for block in _blocks(batch, header, inflated_bytes, is_harmful=is_harmful):
        if is_whole:
            yield block, block.rows()
        else:
            offsets = block.table[:, OFFSET]
            table = block.table[(offsets >= task.first_offset) & (offsets < task.next_offset)]
            yield block, block._replace(table=table).rows()


def _blocks(batch: memoryview, header: BatchHeader, inflated_bytes: int, *, is_harmful: bool) -> Iterator[Block]:
    if is_harmful:
        yield from unread(header, "its batch has ended a worker")
    elif len(batch) == HEADER_BYTES:
        yield from unread(header, f"its batch has {header.length_bytes:,} bytes, more than a worker can receive")
    else:
        try:
            yield from scan(batch, limit_bytes=inflated_bytes)
        except MemoryError:
            yield from unread(header, "there is not enough memory to inflate its batch")


def _verdict(task: Task, header: BatchHeader) -> ErrorCode | None:
    """Return the error code of a batch that must not be inflated, since that has ended a worker."""
    for offset, items in task.quarantined.items():
        if header.base_offset <= offset <= header.last_offset and WHOLE_BATCH in items:
            return ErrorCode(items[WHOLE_BATCH])
    return None
