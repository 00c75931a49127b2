"""Where a partition starts whose group has no offset: what is committed at once, and how it is logged."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from structlog.testing import capture_logs

from consumer.partitions.opening.after_results import StartOffset
from consumer.partitions.opening.reset import reset_offset
from consumer.settings import AutoOffsetReset, Settings
from transport.errors import OwnershipLost

SOURCE, RESULTS = TopicPartition("requests", 0), TopicPartition("predictions", 0)


def consumer(begin: int, end: int) -> Any:
    async def beginning_offsets(_: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {SOURCE: begin}

    async def end_offsets(_: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {SOURCE: end}

    return SimpleNamespace(beginning_offsets=beginning_offsets, end_offsets=end_offsets)


@pytest.mark.parametrize(
    ("way", "is_committed"),
    [(AutoOffsetReset.LATEST, True), (AutoOffsetReset.EARLIEST, False), (AutoOffsetReset.AFTER_RESULTS, False)],
)
async def test_an_empty_logs_end_is_committed_if_a_later_owner_might_differ(
    way: AutoOffsetReset, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__AUTO_OFFSET_RESET", way)
    with capture_logs() as said:
        start = await reset_offset(consumer(7, 7), SOURCE, RESULTS, Settings())
    assert (start.offset, start.is_known) == (7, is_committed)
    assert [event["log_level"] for event in said] == ["info"], "nothing is skipped, and nothing repeated"


async def test_latest_warns_of_what_it_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__AUTO_OFFSET_RESET", "latest")
    with capture_logs() as said:
        start = await reset_offset(consumer(3, 7), SOURCE, RESULTS, Settings())
    assert start == StartOffset(7, "AUTO_OFFSET_RESET=latest", is_known=True)
    assert [event["log_level"] for event in said] == ["warning"]


async def test_a_result_that_is_deleted_while_it_is_looked_for_costs_the_lane_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Retention deletes the start of the results between the look at the log and the fetch."""

    @contextlib.asynccontextmanager
    async def deleted(*_: object) -> AsyncIterator[Any]:
        raise OffsetOutOfRangeError({RESULTS: 0})
        yield

    monkeypatch.setattr("consumer.partitions.opening.reset.open_range_consumer", deleted)
    monkeypatch.setattr("consumer.partitions.opening.reset.live_servers", lambda _: [])
    with pytest.raises(OwnershipLost, match="could not find the last answered request of requests/0"):
        await reset_offset(consumer(3, 7), SOURCE, RESULTS, Settings())
