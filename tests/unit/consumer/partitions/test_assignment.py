"""What the lanes of an instance keep from one to the next."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka import TopicPartition

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions import assignment as lanes
from consumer.partitions.assignment import Lanes
from consumer.partitions.lane import End, Equipment, Lane
from consumer.settings import Settings

PARTITION = TopicPartition("requests", 0)


async def test_a_lane_that_follows_a_lost_one_knows_what_was_committed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int | None] = []

    async def run(lane: Lane) -> End:
        found.append(lane.committed_offset)
        if len(found) == 1:
            lane.committed_offset = 40  # and the second is lost before it could ask
        return End.REVOKED if len(found) == 3 else End.LOST

    async def wait_for_heartbeat() -> None:
        pass

    monkeypatch.setattr(Lane, "run", run)
    monkeypatch.setattr(lanes, "RESTART_PAUSES_S", (0.0,))
    metrics = Metrics()
    member = SimpleNamespace(wait_for_heartbeat=wait_for_heartbeat, note_assignment=lambda: None)
    equipment = SimpleNamespace(settings=Settings(), membership=member, metrics=metrics, budget=MemoryBudget(1))
    async with asyncio.TaskGroup() as group:
        await Lanes(cast("Equipment", equipment), group).on_partitions_assigned([PARTITION])
    assert found == [None, 40, 40]
