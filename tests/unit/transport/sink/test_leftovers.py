"""Which open transactions of other instances are ended: with brokers in memory."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from transport.settings.kafka import GroupSettings
from transport.sink import leftovers
from transport.sink.leftovers import LeftTransactions

OWN = "digitstream.aaaa."
DEAD, ALIVE = "digitstream.dead.0.0", "digitstream.beef.0.0"
OTHERS = ["digitstream.replay.all", "digitstream2.dead.0.0", f"{OWN}0.0", "digitstream.dead.0"]
LIST, DESCRIBE, EPOCH = 66, 65, 22


class Brokers:
    """Two brokers with open transactions; `ALIVE` goes on to another one each time it is looked at."""

    def __init__(self) -> None:
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=1), SimpleNamespace(nodeId=2)])
        self.open = {1: [DEAD, *OTHERS], 2: [ALIVE]}
        self.ended: list[str] = []
        self.looks = 0
        self.failing: set[int] = set()
        self._epoch = 0

    async def coordinator_lookup(self, kind: int, key: str) -> int:
        del kind
        return next(node for node, ids in self.open.items() if key in ids)

    async def send(self, node: int, request: Any) -> Any:
        await asyncio.sleep(0)
        struct = request.struct
        if struct.API_KEY == LIST:
            self.looks += 1
            if node in self.failing:
                raise KafkaConnectionError("down")
            return SimpleNamespace(transactions=[(each, 7, "Ongoing", {}) for each in self.open[node]])
        if struct.API_KEY == DESCRIBE:
            (name,) = struct.transactional_ids
            self._epoch += name == ALIVE
            state = "CompleteAbort" if name in self.ended else "Ongoing"
            epoch = self._epoch if name == ALIVE else 0
            return SimpleNamespace(transactions=[(0, name, state, 60_000, 5, 7, epoch, [], {})])
        assert struct.API_KEY == EPOCH
        self.ended.append(struct.transactional_id)
        return SimpleNamespace(error_code=0)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LEFT_AFTER_S", 0.001)


async def looked(brokers: Brokers, times: int = 1) -> None:
    consumer: Any = SimpleNamespace(_client=brokers)
    async with asyncio.TaskGroup() as group:
        left = LeftTransactions(consumer, GroupSettings(), OWN, group)
        for _ in range(times):
            left.look()


async def test_only_a_transaction_that_stays_open_and_is_of_another_instance_is_ended() -> None:
    brokers = Brokers()
    await looked(brokers)
    assert brokers.ended == [DEAD]


async def test_lanes_that_look_at_the_same_time_look_once() -> None:
    brokers = Brokers()
    await looked(brokers, times=64)
    assert brokers.looks == len(brokers.open)
    assert brokers.ended == [DEAD]


async def test_a_broker_that_fails_does_not_hide_the_transactions_of_another() -> None:
    brokers = Brokers()
    brokers.open = {1: [], 2: [DEAD]}
    brokers.failing = {1}
    await looked(brokers)
    assert brokers.ended == [DEAD]
