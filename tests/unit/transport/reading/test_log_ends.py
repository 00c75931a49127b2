"""Where logs end, asked for while the group gives partitions to others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import NotLeaderForPartitionError

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


def consumer_of(answers: dict[int, Any], assignment: Any = None, leader: int = 1) -> Any:
    """Make a consumer whose broker answers by isolation level: 0 uncommitted, 1 committed."""

    async def send(_: int, request: Any) -> Any:
        return answers[request._isolation_level]

    cluster = SimpleNamespace(leader_for_partition=lambda _: leader)
    return SimpleNamespace(
        _client=SimpleNamespace(cluster=cluster, send=send),
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
        assignment=lambda: {PARTITION},
    )


def answer(offset: int, code: int = 0) -> Any:
    return SimpleNamespace(topics=[("requests", [(0, code, -1, offset)])])


@pytest.mark.parametrize(
    ("leader", "code", "end"), [(1, 0, 9), (1, NotLeaderForPartitionError.errno, None), (ends.NO_LEADER, 0, None)]
)
async def test_the_end_of_a_log_is_unknown_without_a_leader(leader: int, code: int, end: int | None) -> None:
    assert await ends.log_end(consumer_of({0: answer(9, code)}, leader=leader), PARTITION) == end


@pytest.mark.parametrize(("fetched_meanwhile", "expected"), [(False, (7, 9)), (True, (20, 21))])
async def test_ends_are_stored_unless_a_fetch_has_brought_newer_ones(
    fetched_meanwhile: bool,  # noqa: FBT001  # a parameter of the test
    expected: tuple[int, int],
) -> None:
    state = SimpleNamespace(timestamp=1, lso=20, highwater=21)
    states = iter([SimpleNamespace(timestamp=0 if fetched_meanwhile else 1), state])
    assignment = SimpleNamespace(active=True, state_value=lambda _: next(states))
    consumer = consumer_of({0: answer(9), 1: answer(7)}, assignment)
    await ends._refresh(consumer, assignment, 1, [PARTITION])
    assert (state.lso, state.highwater) == expected
