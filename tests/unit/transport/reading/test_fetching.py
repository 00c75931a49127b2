"""What a lane's fetcher makes of the batches of its source."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from transport.batches.layout import BatchHeader
from transport.batches.splitting import RawBatch
from transport.reading.fetching import Fetcher
from transport.sink.batches import OutgoingRecord, build_batches
from transport.source.partition import Fetched

PARTITION = TopicPartition("requests", 2)


def batch(base_offset: int, *values: bytes) -> RawBatch:
    (built,) = build_batches([OutgoingRecord(None, value, []) for value in values])
    built.data[:8] = base_offset.to_bytes(8)
    return RawBatch(BatchHeader.parse(built.data), memoryview(bytes(built.data)))


class Source:
    """Gives what it was made with, one after the other."""

    partition = PARTITION

    def __init__(self, offset: int, *fetched: Fetched) -> None:
        self.offset = offset
        self._fetched = list(fetched)

    async def fetch(self) -> Fetched:
        fetched = self._fetched.pop(0)
        self.offset = fetched.next_offset
        return fetched

    def lag_records(self) -> int:
        return 4


def fetcher(offset: int, *fetched: Fetched) -> Fetcher:
    source: Any = Source(offset, *fetched)
    return Fetcher(source)


async def test_records_come_in_order_and_in_parts_and_move_the_offset() -> None:
    fetching = fetcher(5, Fetched([batch(5, b"a", b"b"), batch(7, b"c")], 5, 9), Fetched([], 9, 9))
    first: Any = await fetching.fetch(2)
    assert [record.value for record in first] == [b"a", b"b"]
    assert (fetching.offset, fetching.lag_records()) == (7, 5)
    second: Any = await fetching.fetch(2)
    assert [(record.offset, record.value) for record in second] == [(7, b"c")]
    assert fetching.offset == 9, "a marker after the record is passed"
    assert await fetching.fetch(2) == []


async def test_records_of_a_batch_before_the_position_are_left_out() -> None:
    fetching = fetcher(6, Fetched([batch(5, b"a", b"b")], 6, 7))
    assert [record.offset for record in await fetching.fetch(10)] == [6]
