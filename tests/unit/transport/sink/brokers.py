"""Brokers and time in memory, for a producer of transactions."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError

from tests.harness.outgoing_records import OutgoingRecord, build_batches
from transport.protocol.offsets import Member
from transport.protocol.requests import Prepared
from transport.settings.kafka import GroupSettings
from transport.sink.batches import OutgoingBatch
from transport.sink.producer import TransactionalProducer

P0, P1, P2 = (TopicPartition("predictions", number) for number in range(3))
R0, R1 = (TopicPartition("requests", number) for number in range(2))
MEMBER = Member("group", 3, "member-1")
COORDINATOR, GROUP_COORDINATOR = 7, 8
PRODUCER_ID = 1_000
NAMES = {0: "produce", 18: "versions", 22: "epoch", 24: "add", 25: "add group", 26: "end", 28: "offsets"}
PRODUCER = struct.Struct(">qhi")
BEGIN = ["versions", "epoch"]
Code = int | dict[TopicPartition, int] | Exception
BROKEN = [KafkaConnectionError("closed"), RequestTimedOutError("silent"), NodeNotReadyError("away"), TimeoutError()]
"""Failures of a connection."""


class Sent(NamedTuple):
    """A request, and where in a transaction it belongs."""

    name: str
    node: int
    epoch: int | None
    content: Any


class Brokers:
    """Takes the place of the connections: answers each request with success, or with what a test has put in.

    Attributes
    ----------
    answers
        By the name of a request: error codes (of all partitions, or by partition), or errors of the connection.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.epoch = 0
        self.sent: list[Sent] = []
        self.answers: defaultdict[str, list[Code]] = defaultdict(list)
        self.leaders: dict[TopicPartition, int | None] = {P0: 1, P1: 2, P2: 1}
        self.looked_up: list[str] = []
        self.refreshed = 0
        self.forgotten = 0

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.sent]

    def leader(self, partition: TopicPartition) -> int | None:
        return self.leaders[partition]

    async def transaction_coordinator(self, transactional_id: str) -> int:
        return await self._look_up(transactional_id, COORDINATOR)

    async def group_coordinator(self, group_id: str) -> int:
        return await self._look_up(group_id, GROUP_COORDINATOR)

    async def _look_up(self, key: str, node: int) -> int:
        self.looked_up.append(key)
        if self.answers["look up"]:
            error = self.answers["look up"].pop(0)
            if isinstance(error, Exception):
                raise error
        return node

    def forget_coordinators(self) -> None:
        self.forgotten += 1

    async def find_brokers(self) -> None:
        self.forgotten += 1

    async def refresh(self) -> None:
        self.refreshed += 1

    async def send(self, node: int, request: Prepared) -> Any:
        fields, name = request.struct, NAMES[request.struct.API_KEY]
        self.sent.append(Sent(name, node, *self._content(name, fields)))
        await asyncio.sleep(0)
        answers = self.answers[name]
        code = answers.pop(0) if answers else 0
        if isinstance(code, Exception):
            raise code
        return getattr(self, f"_{name.replace(' ', '_')}")(fields, code)

    def _content(self, name: str, fields: Any) -> tuple[int | None, Any]:
        if name == "produce":
            stamps = {
                TopicPartition(topic, number): PRODUCER.unpack_from(batch, 43)
                for topic, partitions, _ in fields.topics
                for number, batch, _ in partitions
            }
            (epoch,) = {epoch for _, epoch, _ in stamps.values()}
            assert {producer_id for producer_id, *_ in stamps.values()} == {PRODUCER_ID}
            return epoch, {partition: sequence for partition, (*_, sequence) in stamps.items()}
        if name == "versions":
            return None, None
        return fields.epoch, fields.transactional_id if name == "epoch" else fields

    def _versions(self, _: Any, code: int) -> Any:
        name = b"transaction.version"
        features = bytes([2, len(name) + 1]) + name + struct.pack(">hhB", self.version, 0, 0)
        return SimpleNamespace(error_code=code, tags={2: features} if self.version else {})

    def _epoch(self, _: Any, code: int) -> Any:
        self.epoch += not code
        return SimpleNamespace(error_code=code, producer_id=PRODUCER_ID, epoch=self.epoch)

    def _end(self, _: Any, code: int) -> Any:
        self.epoch += self.version == 2 and not code
        return SimpleNamespace(error_code=code, producer_id=PRODUCER_ID, epoch=self.epoch)

    def _add_group(self, _: Any, code: int) -> Any:
        return SimpleNamespace(error_code=code)

    def _by_partition(self, fields: Any, code: Code) -> Any:
        def answer(topic: str, each: Any) -> tuple[int, Code]:
            number = each if isinstance(each, int) else int(each[0])
            return number, code.get(TopicPartition(topic, number), 0) if isinstance(code, dict) else code

        return SimpleNamespace(
            topics=[(topic, [answer(topic, each) for each in partitions]) for topic, partitions, *_ in fields.topics]
        )

    _produce = _offsets = _add = _by_partition


class Clock:
    """The loop's time, which only pauses move. Each pause is noted."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.pauses_s: list[float] = []
        self.time = lambda: self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses_s.append(seconds)


def producer_of(brokers: Any) -> TransactionalProducer:
    return TransactionalProducer(brokers, "group.x", GroupSettings())


def batches(*partitions: TopicPartition, records: int = 3) -> dict[TopicPartition, list[OutgoingBatch]]:
    return {each: list(build_batches([OutgoingRecord(None, b"x", [])] * records)) for each in partitions}


async def commit(producer: TransactionalProducer, *partitions: TopicPartition, records: int = 3) -> None:
    await producer.commit(batches(*partitions, records=records), {R0: 5, R1: 6}, MEMBER)
