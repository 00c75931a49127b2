"""What a lane commits, whatever comes when: with a log, workers and a producer in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions.lane import Equipment, Lane
from consumer.partitions.pacer import Pacer
from consumer.settings import Settings
from consumer.workers.protocol import Answer, Task
from tests.harness.waiting import eventually
from transport.reading.fetching import Fetcher
from transport.transactions import OutgoingRecord, PartitionProducer

PARTITION = TopicPartition("requests", 0)
TAKES = 30


class Log:
    """Gives records, and passes markers and aborted records, as `Fetcher` does."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.takes = 0
        self.offset = 0
        self.records: list[int] = []

    def lag_records(self) -> int:
        return 0

    async def fetch(self, most_records: int) -> list[ConsumerRecord]:
        await asyncio.sleep(self._chance.choice([0, 0.001, 0.004]) if self.takes < TAKES else 0.005)
        if self.takes == TAKES:
            return []
        self.takes += 1
        taken = range(self.offset, self.offset + self._chance.choice([0, 0, 1, min(5, most_records)]))
        self.records += taken
        self.offset = taken.stop + self._chance.choice([0, 0, 1, 3])
        return [ConsumerRecord(*PARTITION, offset, 0, 0, None, b"image", None, -1, 5, ()) for offset in taken]


class Producer:
    """Keeps what is committed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.published: list[int] = []
        self.commits: list[tuple[int, int]] = []
        """Each offset, and how many results there were with it."""

    async def partition_count(self, _: str) -> int:
        return 1

    async def commit(self, outgoing: Mapping[TopicPartition, Sequence[OutgoingRecord]], next_offset: int) -> None:
        await asyncio.sleep(self._chance.choice([0, 0.002]))
        self.published += [int(record.value or b"") for records in outgoing.values() for record in records]
        self.commits.append((next_offset, len(self.published)))


@pytest.mark.parametrize("end", [Lane.drain, Lane.revoke])
@pytest.mark.parametrize("seed", range(10))
async def test_what_is_committed_never_passes_a_record_without_its_result(
    seed: int, end: Callable[[Lane], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITS_PACING__CHUNK_RECORDS", "2")
    monkeypatch.setattr("consumer.partitions.lane.SETTLE_S", 0)
    chance = random.Random(seed)  # noqa: S311  # nobody is to be kept from guessing it
    log, producer = Log(chance), Producer(chance)

    async def classify(tasks: Iterable[Task]) -> list[Answer]:
        await asyncio.sleep(chance.choice([0, 0.002, 0.01]))
        return [Answer([b"%d" % task.offset], [], 1, 0, 1) for task in tasks]

    async def ensure_confirmed() -> None:
        pass

    equipment = SimpleNamespace(
        settings=Settings(),
        pool=SimpleNamespace(classify=classify),
        budget=MemoryBudget(1024 * 1024),
        pacer=Pacer(100_000),
        metrics=Metrics(),
        membership=SimpleNamespace(ensure_confirmed=ensure_confirmed),
        dead_letter_bytes=1024,
        traces=None,
    )
    lane = Lane(PARTITION, cast("Equipment", equipment), committed_offset=0)
    carrying = asyncio.create_task(lane._carry(cast("PartitionProducer", producer), cast("Fetcher", log)))
    goes_on_for = chance.randrange(TAKES + 1)
    await eventually(lambda: log.takes >= goes_on_for and (log.takes < TAKES or lane.committed_offset == log.offset))
    end(lane)
    await carrying
    assert producer.published == log.records[: len(producer.published)]
    assert producer.commits == sorted(set(producer.commits))
    for offset, results in producer.commits:
        assert results == sum(record < offset for record in log.records)
    assert equipment.budget.taken_bytes == 0
