"""Where logs end, asked for while the group gives partitions to others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import Assignment

from transport.reading import log_ends as ends

PARTITION = TopicPartition("requests", 0)


async def test_an_assignment_that_changes_before_the_ends_are_asked_for_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ends, "REFRESH_INTERVAL_S", 0)
    asked: list[int] = []
    subscription = SimpleNamespace(assignment=Assignment({PARTITION}))

    def leader_for_partition(_: TopicPartition) -> int:
        asyncio.get_running_loop().call_soon(assign_nothing)  # as the group may, before the next task runs
        return 1

    def assign_nothing() -> None:
        subscription.assignment._unassign()
        subscription.assignment = Assignment(set())

    async def send(node: int, _: Any) -> Any:
        asked.append(node)
        return SimpleNamespace(topics=[("requests", [(0, 0, -1, 5)])])

    consumer: Any = SimpleNamespace(
        _client=SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=leader_for_partition), send=send),
        _subscription=SimpleNamespace(subscription=subscription),
        assignment=lambda: subscription.assignment.tps,
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ends.refresh_log_ends(consumer)
    assert asked == [1, 1]
