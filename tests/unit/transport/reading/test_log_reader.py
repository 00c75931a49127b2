"""How a range of offsets is read to its end."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from transport.errors import KafkaRequestError
from transport.reading import log_reader
from transport.reading.log_reader import RangeReader

PARTITION = TopicPartition("requests", 2)


class Consumer:
    """Each answer has the offsets of its records, and the position after it."""

    def __init__(self, *answers: tuple[Sequence[int], int], position: int = 0) -> None:
        self._answers = list(answers)
        self._position = position

    async def position(self, _: TopicPartition) -> int:
        return self._position

    async def getmany(self, partition: TopicPartition, **_: int) -> Any:
        offsets, self._position = self._answers.pop(0) if self._answers else ((), self._position)
        return {partition: [SimpleNamespace(offset=each) for each in offsets]}


def reader(consumer: Consumer, end: int) -> RangeReader:
    client: Any = consumer
    return RangeReader(client, PARTITION, end)


async def test_records_from_the_end_of_the_range_on_are_left_out() -> None:
    reading = reader(Consumer(([0, 1], 2), ([2, 3, 4], 5)), end=4)
    batches = [await reading.next_batch() for _ in range(3)]
    assert [[record.offset for record in batch] for batch in batches] == [[0, 1], [2, 3], []]


async def test_a_range_that_ends_in_transaction_markers_comes_to_its_end() -> None:
    assert await reader(Consumer(((), 3), ((), 5)), end=5).next_batch() == []


async def test_an_open_transaction_is_reported_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "STALL_TIMEOUT_S", -1)
    with pytest.raises(KafkaRequestError, match=r"requests/2 .*offset 7: a transaction there stays open"):
        await reader(Consumer(position=7), end=9).next_batch()
