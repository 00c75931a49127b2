"""Which partitions are fetched, from which broker, and what becomes of refusals: with brokers in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from tests.harness.waiting import eventually
from tests.unit.transport.source.batches import batch
from transport.errors import FatalError, OwnershipLost
from transport.source import fetching as module
from transport.source.fetching import Fetching
from transport.source.partition import Fetched, PartitionSource
from transport.source.sessions import ANSWER_BYTES

TOPIC = "requests"


class Brokers:
    """Partition logs in memory. It keeps each request, with the partitions that its session covers."""

    def __init__(self) -> None:
        self.logs: dict[int, list[bytes]] = {}
        self.leaders: dict[int, int | None] = {}
        self.codes: dict[int, int] = {}
        self.requests: list[tuple[int, set[int]]] = []
        self.most_bytes: list[int] = []
        self.session_id = 7
        self.session_error = 0
        self.fills_up = False
        """True if an answer has room for one partition."""
        self.fails = False
        self.metadata_updates = 0
        self._covered: dict[int, dict[int, int]] = {}
        self._writer = None
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: self.leaders.get(tp.partition))
        self._conns: dict[Any, Any] = {}

    async def _get_conn(self, node: int, group: object) -> Any:
        assert group == "fetch"
        return SimpleNamespace(
            send=lambda request: self._answer(node, request.struct), _writer=None, _request_timeout=None
        )

    def force_metadata_update(self) -> None:
        self.metadata_updates += 1

    async def _answer(self, node: int, request: Any) -> Any:
        if self.fails:
            await asyncio.sleep(0)
            raise KafkaConnectionError("down")
        covered = {} if request.session_epoch == 0 else self._covered[node]
        covered |= {number: offset for _, some in request.topics for number, _, offset, *_ in some}
        for _, numbers in request.forgotten_topics_data:
            for number in numbers:
                del covered[number]
        self._covered[node] = covered
        self.requests.append((node, set(covered)))
        self.most_bytes.append(request.max_bytes)
        await asyncio.sleep(0.001)
        if error := self.session_error:
            self.session_error = 0
            return SimpleNamespace(error_code=error, session_id=0, topics=[])
        parts = [(number, self.codes.get(number, 0), *self._part(number, offset)) for number, offset in covered.items()]
        answered = [part for part in parts if part[1] or part[-1]][: 1 if self.fills_up else None]
        return SimpleNamespace(error_code=0, session_id=self.session_id, topics=[(TOPIC, answered)])

    def _part(self, number: int, offset: int) -> tuple[Any, ...]:
        log = self.logs.get(number, [])
        data = b"".join(batch(at, log[at]) for at in range(offset, len(log)))
        return len(log), len(log), 0, None, -1, data


class MemoryRoom:
    """Memory of which a test says how much is free. It keeps what is promised."""

    def __init__(self, free_bytes: int = 2**30) -> None:
        self.free_bytes = free_bytes
        self.promised_bytes = 0

    def promise(self, most_bytes: int, brokers: int) -> int:
        assert brokers > 0
        promised_bytes = min(most_bytes, self.free_bytes)
        self.promised_bytes += promised_bytes
        return promised_bytes

    def withdraw(self, promised_bytes: int) -> None:
        self.promised_bytes -= promised_bytes


@contextlib.asynccontextmanager
async def running(brokers: Brokers, room: MemoryRoom | None = None) -> AsyncIterator[Fetching]:
    consumer: Any = SimpleNamespace(_client=brokers, assignment=set)
    async with asyncio.TaskGroup() as group:
        fetching = Fetching(consumer, 5.0, room or MemoryRoom(), group)
        task = group.create_task(fetching.run())
        yield fetching
        task.cancel()


def opened(fetching: Fetching, number: int, has_room: Callable[[], bool] = lambda: True) -> PartitionSource:
    return fetching.open(TopicPartition(TOPIC, number), 0, has_room)


async def read(source: PartitionSource, count: int) -> list[int]:
    offsets: list[int] = []
    while len(offsets) < count:
        fetched: Fetched = await source.fetch()
        offsets += [each.header.base_offset for each in fetched.batches]
    return offsets


async def test_each_lane_gets_its_records_from_the_leader_of_its_partition() -> None:
    brokers = Brokers()
    brokers.leaders = {0: 1, 1: 2}
    brokers.logs = {0: [b"a", b"b"], 1: [b"c"]}
    async with running(brokers) as fetching:
        first, second = opened(fetching, 0), opened(fetching, 1)
        assert list(await asyncio.gather(read(first, 2), read(second, 1))) == [[0, 1], [0]]
        assert dict(brokers.requests) == {1: {0}, 2: {1}}
        assert first.stable_offset == 2


async def test_a_fetch_pauses_after_several_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = Brokers()
    brokers.leaders = {0: 1, 1: 2}
    brokers.logs = {0: [b"a", b"b"], 1: []}
    monkeypatch.setattr(module, "COLLECT_S", 60.0)
    async with running(brokers) as fetching:
        source, other = opened(fetching, 0), opened(fetching, 1)
        assert await read(source, 2) == [0, 1]
        waiting = asyncio.create_task(read(source, 1))
        for number in range(10):  # meanwhile the other broker gets one request after the other
            brokers.logs[1].append(b"c")
            assert await read(other, 1) == [number]
        assert [node for node, _ in brokers.requests].count(1) == 1
        waiting.cancel()


@pytest.mark.parametrize("log", [[b"a"], [b"a" * module.COLLECT_BYTES, b"b"]])
async def test_a_fetch_goes_on_at_once_after_one_batch_or_many_bytes(
    log: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = Brokers()
    brokers.leaders = {0: 1}
    brokers.logs = {0: log}
    monkeypatch.setattr(module, "COLLECT_S", 60.0)
    async with running(brokers) as fetching:
        source = opened(fetching, 0)
        assert await read(source, len(log)) == list(range(len(log)))
        brokers.logs[0] = [*log, b"c"]
        async with asyncio.timeout(10.0):
            assert await read(source, 1) == [len(log)]


async def test_a_lane_without_room_is_in_no_request_until_it_has_room() -> None:
    brokers = Brokers()
    brokers.leaders = {0: 1, 1: 1}
    brokers.logs = {0: [b"a"], 1: [b"b"]}
    room = False
    async with running(brokers) as fetching:
        full = opened(fetching, 0, lambda: room)
        reading = asyncio.create_task(read(full, 1))
        await eventually(lambda: full.is_waiting)
        assert await read(opened(fetching, 1), 1) == [0]
        assert all(0 not in covered for _, covered in brokers.requests)
        room = True
        assert await reading == [0]


async def test_a_request_asks_for_what_was_promised_and_nothing_while_there_is_no_room() -> None:
    brokers, room = Brokers(), MemoryRoom(free_bytes=0)
    brokers.leaders = {0: 1}
    brokers.logs = {0: [b"a"]}
    async with running(brokers, room) as fetching:
        source = opened(fetching, 0)
        reading = asyncio.create_task(read(source, 1))
        await eventually(lambda: source.is_waiting)
        await asyncio.sleep(0)
        assert brokers.requests == []
        room.free_bytes = 123
        assert await reading == [0]
        assert set(brokers.most_bytes) == {123}


async def test_a_promise_is_taken_back_after_each_answer_and_after_a_failure() -> None:
    brokers, room = Brokers(), MemoryRoom()
    brokers.leaders = {0: 1}
    async with running(brokers, room) as fetching:
        reading = asyncio.create_task(read(opened(fetching, 0), 1))
        await eventually(lambda: len(brokers.requests) > 1 and room.promised_bytes <= ANSWER_BYTES)
        brokers.fails = True
        await eventually(lambda: brokers.metadata_updates > 0 and room.promised_bytes == 0)
        brokers.fails, brokers.logs = False, {0: [b"a"]}
        assert await reading == [0]
        await eventually(lambda: room.promised_bytes == 0)


async def test_a_refused_partition_pauses_while_others_of_the_broker_go_on() -> None:
    brokers = Brokers()
    brokers.leaders = {0: 1, 1: 1}
    brokers.logs = {0: [b"a"], 1: [b"b"] * 50}
    brokers.codes = {0: 6}
    async with running(brokers) as fetching:
        refused = opened(fetching, 0)
        reading = asyncio.create_task(read(refused, 1))
        await eventually(lambda: not refused.pauses.are_over)
        before = sum(0 in covered for _, covered in brokers.requests)
        other = opened(fetching, 1)
        await read(other, 50)
        assert sum(0 in covered for _, covered in brokers.requests) <= before + 1
        assert brokers.metadata_updates
        brokers.codes.clear()
        assert await reading == [0]


@pytest.mark.parametrize(
    ("code", "kind", "why"),
    [
        (1, OwnershipLost, "could not fetch from requests/0 at offset 0: .*OffsetOutOfRange"),
        (29, FatalError, r"requests/0: topic requests may not be read \(ACL: Read on the topic\)"),
    ],
)
async def test_an_error_that_repetition_does_not_repair_ends_the_lane(
    code: int, kind: type[Exception], why: str
) -> None:
    brokers = Brokers()
    brokers.leaders, brokers.codes = {0: 1}, {0: code}
    async with running(brokers) as fetching:
        with pytest.raises(kind, match=why):
            await opened(fetching, 0).fetch()


@pytest.mark.parametrize("code", [70, 71])
async def test_a_session_that_the_broker_does_not_know_begins_again(code: int) -> None:
    brokers = Brokers()
    brokers.leaders, brokers.logs = {0: 1}, {0: [b"a"]}
    async with running(brokers) as fetching:
        source = opened(fetching, 0)
        assert await read(source, 1) == [0]
        brokers.session_error = code
        brokers.logs[0].append(b"b")
        assert await read(source, 1) == [1]


async def test_a_broker_that_fails_is_asked_again_and_a_new_leader_at_once() -> None:
    brokers = Brokers()
    brokers.leaders, brokers.logs, brokers.fails = {0: 1}, {0: [b"a"]}, True
    async with running(brokers) as fetching:
        reading = asyncio.create_task(read(opened(fetching, 0), 1))
        await eventually(lambda: brokers.metadata_updates >= 2)
        brokers.leaders, brokers.fails = {0: 2}, False
        assert await reading == [0]
        assert brokers.requests[-1][0] == 2


async def test_a_partition_without_a_leader_is_fetched_when_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEADER_LOOK_S", 0.001)
    brokers = Brokers()
    brokers.leaders, brokers.logs = {0: -1}, {0: [b"a"]}
    async with running(brokers) as fetching:
        source = opened(fetching, 0)
        reading = asyncio.create_task(read(source, 1))
        await eventually(lambda: source.is_waiting)
        brokers.leaders = {0: 3}
        assert await reading == [0]


async def test_a_session_names_only_what_has_changed() -> None:
    brokers = Brokers()
    brokers.leaders = dict.fromkeys(range(3), 1)
    named: list[int] = []
    answer = brokers._answer

    async def counted(node: int, request: Any) -> Any:
        named.append(sum(len(some) for _, some in request.topics))
        return await answer(node, request)

    brokers._answer = counted  # type: ignore[method-assign]
    async with running(brokers) as fetching:
        readings = [asyncio.create_task(read(opened(fetching, number), 1)) for number in range(3)]
        await eventually(lambda: len(named) >= 5)
        brokers.logs = {number: [b"a"] for number in range(3)}
        await asyncio.gather(*readings)
    assert named[0] in (1, 2, 3)
    assert named[4] == 0


async def test_without_sessions_no_partition_waits_for_the_backlog_of_another() -> None:
    brokers = Brokers()
    brokers.session_id, brokers.fills_up = 0, True
    brokers.leaders = {0: 1, 1: 1}
    brokers.logs = {0: [b"a"], 1: [b"b"]}

    async def read_a_backlog(source: PartitionSource) -> None:
        while True:
            await source.fetch()
            brokers.logs[0].append(b"one more")

    async with running(brokers) as fetching, asyncio.timeout(5):
        reading = asyncio.create_task(read_a_backlog(opened(fetching, 0)))
        assert await read(opened(fetching, 1), 1) == [0]
        reading.cancel()
