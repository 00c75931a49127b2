"""The owner of a partition dies, or stops, at each point of its work; nothing is lost or doubled by the next owner.

One partition, four requests answered. An owner before ours has sent results for the next ones, and the offset, and has
stalled before its commit. Ours fences it and reaches the point. The next owner waits, frozen just before it joins.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from broker import Cluster
from contract.records import result_id
from tests.harness.failure_points import Point, dying_at, is_at, stopping_at
from tests.harness.images import drawn_digits, zipped
from tests.harness.played_service import answer, open_transaction, publish
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.transaction_state import OFFSETS_TOPIC, describe_transaction
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

ANSWERED = 4
DIGITS = drawn_digits(20)
ARCHIVE = zipped([("a.png", DIGITS[0]), ("b.png", b"no image"), ("c.png", DIGITS[1])])
REQUESTS = [*DIGITS, b"no image either", ARCHIVE, *DIGITS]
ITEMS = [3 if request is ARCHIVE else 1 for request in REQUESTS]
SHORT = {
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": "6000",  # the least that brokers allow
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": "6000",
}

RESULTS, LETTERS, OFFSETS = "results", "dead letters", "offsets"


@dataclass(frozen=True)
class Moment:
    """The state of the owner's transaction on the broker after its death."""

    state: str
    holds: frozenset[str] = frozenset()
    committed: int = ANSWERED


NOTHING_BEGUN = Moment("Empty")
EVERYTHING_SENT = Moment("Ongoing", frozenset({RESULTS, LETTERS, OFFSETS}))
EVERYTHING_COMMITTED = Moment("CompleteCommit", committed=len(REQUESTS))

AT_DEATH = {
    Point.FENCED: NOTHING_BEGUN,
    Point.POSITIONED: NOTHING_BEGUN,
    Point.CLASSIFIED: NOTHING_BEGUN,
    Point.SENT: Moment("Ongoing", frozenset({RESULTS, LETTERS})),
    Point.OFFSET_SENT: Moment("Ongoing", frozenset({OFFSETS})),
    Point.READY_TO_COMMIT: EVERYTHING_SENT,
    Point.COMMIT_ASKED: EVERYTHING_COMMITTED,
    Point.COMMIT_ANSWERED: EVERYTHING_COMMITTED,
    Point.COMMITTED: EVERYTHING_COMMITTED,
    Point.REVOKED: EVERYTHING_SENT,
}


@dataclass(frozen=True)
class Scene:
    """The partition with the owner before ours, and the owner after."""

    broker: Broker
    stalled: AIOKafkaProducer
    heir: Service

    async def moment(self) -> Moment:
        topics = self.broker.topics
        names = {topics.predictions: RESULTS, topics.dead_letter: LETTERS, OFFSETS_TOPIC: OFFSETS}
        transaction = await describe_transaction(self.broker, transactional_id(self.broker))
        committed = (await self.broker.committed_offsets())[0] or 0
        return Moment(transaction.state, frozenset(names[topic] for topic in transaction.topics), committed)

    async def ends(self) -> list[dict[int, int]]:
        """Where the logs of all output end, open transactions included."""
        return [
            await self.broker.end_offsets(each)
            for each in (self.broker.topics.predictions, self.broker.topics.dead_letter)
        ]

    async def pass_on(self) -> None:
        """Give the partition to the next owner, as the group does when the session of the present one ends."""
        await eventually(lambda: is_at(Point.JOINING, self.heir), deadline_s=START_DEADLINE_S)
        await self.broker.expel_members()
        self.heir.thaw()

    async def check(self, items: list[int]) -> None:
        """Compare what a read_committed reader sees with what was sent: no gap, no double, no exchange."""
        topic = self.broker.topics.requests
        expected = [result_id(topic, 0, offset, item) for offset, count in enumerate(items) for item in range(count)]
        assert [result.result_id for result in await self.broker.results()] == expected
        assert len(await self.broker.dead_letters()) == 2
        await audited(self.broker, len(items))


def transactional_id(broker: Broker) -> str:
    return f"{broker.group_id}.{broker.topics.requests}.0"


def named(name: str, service: Service) -> list[dict[str, Any]]:
    return [event for event in service.events if event["event"] == name]


def starts(service: Service) -> list[int]:
    """Give the offsets at which its lanes have started."""
    return [event["offset"] for event in named("starting", service)]


@contextlib.asynccontextmanager
async def scene(cluster: Cluster) -> AsyncIterator[Scene]:
    async with fresh_topics(cluster, partitions=1) as broker:
        await broker.send(REQUESTS)
        answers = [answer(broker, request) for request in await broker.read(broker.topics.requests)]
        results = [result for each in answers for result in each.results]
        await publish(broker, results[:ANSWERED], committed={0: ANSWERED})
        unfinished = open_transaction(
            broker, results[ANSWERED:7], committed={0: 7}, transactional_id=transactional_id(broker)
        )
        async with unfinished as stalled, starting_service(broker, stopping_at(Point.JOINING)) as heir:
            yield Scene(broker, stalled, heir)


@pytest.mark.parametrize("point", AT_DEATH, ids=str)
async def test_no_result_is_lost_or_doubled_when_an_owner_dies(cluster: Cluster, point: Point) -> None:
    async with scene(cluster) as scene_, starting_service(scene_.broker, dying_at(point)) as dying:
        assert await dying.wait(deadline_s=START_DEADLINE_S) == -signal.SIGKILL
        assert is_at(point, dying)
        assert starts(dying) == ([] if point is Point.FENCED else [ANSWERED])
        at_death = await eventually(scene_.moment, lambda moment: moment == AT_DEATH[point])
        with pytest.raises(KafkaError):
            await scene_.stalled.commit_transaction()
        await scene_.broker.send(DIGITS)
        await scene_.pass_on()
        await scene_.broker.everything_answered()
        assert starts(scene_.heir) == [at_death.committed]
        await scene_.check([*ITEMS, *(1 for _ in DIGITS)])


@pytest.mark.parametrize("point", [Point.POSITIONED, Point.SENT, Point.READY_TO_COMMIT], ids=str)
async def test_an_owner_that_wakes_after_a_takeover_adds_nothing_and_rejoins(cluster: Cluster, point: Point) -> None:
    async with scene(cluster) as scene_, starting_service(scene_.broker, stopping_at(point)) as zombie:
        await eventually(lambda: is_at(point, zombie), deadline_s=START_DEADLINE_S)
        assert await scene_.moment() == AT_DEATH[point]
        await scene_.pass_on()
        await scene_.broker.everything_answered()
        assert starts(scene_.heir) == [ANSWERED]
        ends = await scene_.ends()
        zombie.thaw()
        await eventually(lambda: named("assigned", zombie), lambda joins: len(joins) == 2)
        assert await scene_.ends() == ends, "it wrote before it had rejoined"
        if point is not Point.POSITIONED:  # there it may learn in time that it is no member, and begin nothing
            (lost,) = named("lane lost", zombie)
            assert "ProducerFenced" in lost["why"]
        await scene_.check(ITEMS)
        scene_.heir.terminate()
        assert await scene_.heir.wait() == 0
        await scene_.broker.send(DIGITS)
        await scene_.broker.everything_answered()
        await scene_.check([*ITEMS, *(1 for _ in DIGITS)])


@pytest.mark.parametrize("point", [Point.ASSIGNED, Point.POSITIONED], ids=str)
async def test_an_owner_that_stops_past_its_session_asks_the_group_before_fencing(
    cluster: Cluster, point: Point
) -> None:
    async with (
        fresh_topics(cluster, partitions=1) as broker,
        starting_service(broker, SHORT | stopping_at(point)) as zombie,
    ):
        await broker.send(DIGITS)
        await eventually(lambda: is_at(point, zombie), deadline_s=START_DEADLINE_S)
        async with running_service(broker, SHORT) as heir:
            await broker.everything_answered(deadline_s=60)  # once the session of the other has ended
            zombie.thaw()
            await eventually(lambda: named("assigned", zombie), lambda joins: len(joins) == 2)
            await broker.send(DIGITS)
            await broker.everything_answered()
            assert named("lane lost", heir) == [], "no other producer has fenced it"
            assert named("lane lost", zombie) == [], "it has begun nothing"
        await audited(broker, 2 * len(DIGITS))
