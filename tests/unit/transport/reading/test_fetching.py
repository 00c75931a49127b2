"""What a partition's fetcher makes of the client's answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from transport.errors import FatalError, OwnershipLost
from transport.reading.fetching import CORRUPT_FETCHES, Fetcher

PARTITION = TopicPartition("requests", 2)


class Consumer:
    """Gives these answers to `getmany`, one after the other: a number of records, or an error."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.asked_for: list[int] = []
        self.state = SimpleNamespace(position=0, has_valid_position=True)
        self.stable: int | None = None
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(state_value=lambda _: self.state))
        )

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.state.position = offset

    async def getmany(self, partition: TopicPartition, *, timeout_ms: int, max_records: int) -> Any:
        assert timeout_ms > 0
        self.asked_for.append(max_records)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        begin = self.state.position
        self.state.position += answer
        return {partition: [SimpleNamespace(offset=begin + each) for each in range(answer)]} if answer else {}

    async def position(self, _: TopicPartition) -> int:
        position: int = self.state.position
        return position

    def last_stable_offset(self, _: TopicPartition) -> int | None:
        return self.stable


def fetcher(consumer: Consumer, offset: int = 5) -> Fetcher:
    client: Any = consumer
    return Fetcher(client, PARTITION, offset)


async def test_records_come_in_order_and_move_the_offset() -> None:
    consumer = Consumer(3, 0)
    fetching = fetcher(consumer)
    assert [record.offset for record in await fetching.fetch(10)] == [5, 6, 7]
    assert (await fetching.fetch(10), fetching.offset) == ([], 8)


async def test_an_offset_out_of_range_ends_the_lane_and_not_the_service() -> None:
    with pytest.raises(OwnershipLost, match=r"could not fetch from requests/2: "):
        await fetcher(Consumer(OffsetOutOfRangeError())).fetch(10)


async def test_a_topic_that_may_not_be_read_ends_the_service() -> None:
    with pytest.raises(FatalError, match=r"requests/2: topic requests may not be read \(ACL: Read on the topic\)"):
        await fetcher(Consumer(TopicAuthorizationFailedError("requests"))).fetch(10)


async def test_records_before_a_wrong_checksum_are_fetched_one_by_one() -> None:
    consumer = Consumer(CorruptRecordException(), 1, 1, 5)
    fetching = fetcher(consumer)
    for _ in range(3):
        await fetching.fetch(2)
    assert consumer.asked_for == [2, 1, 1, 2]


async def test_a_checksum_that_stays_wrong_ends_the_service_with_the_offset() -> None:
    consumer = Consumer(*[CorruptRecordException()] * CORRUPT_FETCHES)
    with pytest.raises(FatalError, match=r"the log of requests/2 is damaged .* offset 5"):
        await fetcher(consumer).fetch(10)
    assert len(consumer.asked_for) == CORRUPT_FETCHES


async def test_a_fetch_that_succeeds_ends_the_count_of_wrong_checksums() -> None:
    wrong: list[int | Exception] = [CorruptRecordException()] * (CORRUPT_FETCHES - 1)
    fetching = fetcher(Consumer(*wrong, 1, *wrong, 1))
    assert [len(await fetching.fetch(1)) for _ in range(2)] == [1, 1]


def test_the_lag_is_known_only_with_a_position_and_a_stable_offset() -> None:
    consumer = Consumer()
    fetching = fetcher(consumer)
    assert fetching.lag_records() == 0
    consumer.stable = 12
    assert fetching.lag_records() == 7
    consumer.state.has_valid_position = False
    assert fetching.lag_records() == 0
