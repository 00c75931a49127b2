"""The owner of a partition dies, or stops, at each point of its work; nothing is lost or doubled by the next owner.

One partition, four requests answered. An owner before ours has sent results for the next two, and the offset, and has
stalled before its commit. Ours ends that transaction, answers the two, and reaches the point in its next transaction.
The next owner waits, frozen just before it joins.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from broker import Cluster
from contract.records import result_id
from tests.harness.failure_points import Point, dying_at, is_at, stopping_at
from tests.harness.images import drawn_digits, zipped
from tests.harness.played_service import answer, open_transaction, publish
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, Position, fresh_topics
from tests.harness.transaction_state import OFFSETS_TOPIC, describe_transaction, open_transactions, transactional_ids
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

ANSWERED = 4
DIGITS = drawn_digits(20)
FIRST = DIGITS[:6]
"""Four were answered, two are left for the first transaction of ours."""
DAMAGED = DIGITS[0][:60]
SECOND = [*DIGITS, DAMAGED]
"""One chunk, so that all of it is in one transaction."""
THIRD = [zipped([("a.png", DIGITS[0]), ("b.png", b"no image"), ("c.png", DIGITS[1])]), b"no image either", *DIGITS]
"""For the next owner."""
DEAD_LETTERS = 3
SHORT = {"DIGITS_KAFKA__SESSION_TIMEOUT_MS": "6000"}  # the least that brokers allow
SOON_S = 30.0
"""Far below the time after which the broker itself would end a transaction. On an idle machine it takes 2 s."""

RESULTS, LETTERS, OFFSETS = "results", "dead letters", "offsets"


@dataclass(frozen=True)
class Moment:
    """The state of the owner's transaction on the broker after its death."""

    state: str | None
    """None: it has never had a producer epoch."""
    holds: frozenset[str] = frozenset()
    committed: int = len(FIRST)

    @property
    def commits(self) -> int:
        """How many transactions the owner has committed before."""
        return 0 if self.committed == ANSWERED else 1


NO_PRODUCER = Moment(None, committed=ANSWERED)
NOTHING_BEGUN = Moment("CompleteCommit")
EVERYTHING_SENT = Moment("Ongoing", frozenset({RESULTS, LETTERS, OFFSETS}))
EVERYTHING_COMMITTED = Moment(
    "CompleteCommit", committed=len(FIRST) + len(SECOND) + 1
)  # after the marker of the sender

AT_DEATH = {
    Point.ASSIGNED: NO_PRODUCER,
    Point.POSITIONED: NO_PRODUCER,
    Point.EPOCH: Moment("Empty", committed=ANSWERED),
    Point.CLASSIFIED: NOTHING_BEGUN,
    Point.RESULTS_ASKED: Moment("Ongoing", frozenset({RESULTS, LETTERS})),
    Point.RESULTS_SENT: Moment("Ongoing", frozenset({RESULTS, LETTERS})),
    Point.OFFSETS_SENT: Moment("Ongoing", frozenset({OFFSETS})),
    Point.READY_TO_COMMIT: EVERYTHING_SENT,
    Point.COMMIT_ASKED: EVERYTHING_COMMITTED,
    Point.COMMIT_ANSWERED: EVERYTHING_COMMITTED,
    Point.COMMITTED: EVERYTHING_COMMITTED,
    Point.REVOKED: EVERYTHING_SENT,
}
IN_A_TRANSACTION = [point for point, moment in AT_DEATH.items() if moment.state == "Ongoing"]


@dataclass
class Scene:
    """The partition with the owner before ours, and the owner after."""

    broker: Broker
    stalled: AIOKafkaProducer
    heir: Service
    requests: list[tuple[Position, int]] = field(default_factory=list)
    """Each with the number of its items."""

    async def send(self, values: list[bytes]) -> None:
        """Send requests which the service fetches all at once."""
        items = [3 if value is THIRD[0] else 1 for value in values]
        self.requests += zip(await self.broker.send_in_transaction(values, partition=0), items, strict=True)

    async def reach(self, point: Point, service: Service) -> Moment:
        """Have an instance reach a point; return what the broker then holds."""
        if AT_DEATH[point].commits:
            await eventually(
                self.broker.committed_offsets, lambda at: at == {0: len(FIRST)}, deadline_s=START_DEADLINE_S
            )
            await self.send(SECOND)
        await eventually(lambda: is_at(point, service), deadline_s=START_DEADLINE_S)
        moment = await eventually(self.moment, lambda moment: moment == AT_DEATH[point])
        if not AT_DEATH[point].commits:
            await self.send(SECOND)
        return moment

    async def moment(self) -> Moment:
        topics = self.broker.topics
        names = {topics.predictions: RESULTS, topics.dead_letter: LETTERS, OFFSETS_TOPIC: OFFSETS}
        known = await transactional_ids(self.broker, f"{self.broker.group_id}.")
        own = [each for each in known if each != stalled_id(self.broker)]
        committed = (await self.broker.committed_offsets())[0] or 0
        if not own:
            return Moment(None, committed=committed)
        (only,) = own  # its ordinary one
        transaction = await describe_transaction(self.broker, only)
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

    async def check(self) -> None:
        """Compare what a read_committed reader sees with what was sent: no gap, no double, no exchange."""
        topic = self.broker.topics.requests
        expected = [result_id(topic, *at, item) for at, count in self.requests for item in range(count)]
        assert [result.result_id for result in await self.broker.results()] == expected
        assert len(await self.broker.dead_letters()) == DEAD_LETTERS
        await audited(self.broker, len(self.requests))


def stalled_id(broker: Broker) -> str:
    return f"{broker.group_id}.5ca1ab1e.0.0"


def named(name: str, service: Service) -> list[dict[str, Any]]:
    return [event for event in service.events if event["event"] == name]


def starts(service: Service) -> list[int]:
    """Give the offsets at which its lanes have started."""
    return [event["offset"] for event in named("starting", service)]


@contextlib.asynccontextmanager
async def scene(cluster: Cluster) -> AsyncIterator[Scene]:
    async with fresh_topics(cluster, partitions=1) as broker:
        positions = await broker.send(FIRST, partition=0)
        answers = [answer(broker, request) for request in await broker.read(broker.topics.requests)]
        results = [result for each in answers for result in each.results]
        await publish(broker, results[:ANSWERED], committed={0: ANSWERED})
        unfinished = open_transaction(
            broker, results[ANSWERED:], committed={0: len(FIRST)}, transactional_id=stalled_id(broker)
        )
        async with unfinished as stalled, starting_service(broker, stopping_at(Point.JOINING)) as heir:
            yield Scene(broker, stalled, heir, [(at, 1) for at in positions])


@pytest.mark.parametrize("point", AT_DEATH, ids=str)
async def test_no_result_is_lost_or_doubled_when_an_owner_dies(cluster: Cluster, point: Point) -> None:
    fatal = dying_at(point, after_commits=AT_DEATH[point].commits)
    async with scene(cluster) as scene_, starting_service(scene_.broker, fatal) as dying:
        at_death = await scene_.reach(point, dying)
        assert await dying.wait(deadline_s=START_DEADLINE_S) == -signal.SIGKILL
        assert starts(dying) == ([] if point is Point.ASSIGNED else [ANSWERED])
        if point is not Point.ASSIGNED:
            with pytest.raises(KafkaError):
                await scene_.stalled.commit_transaction()
        await scene_.send(THIRD)
        await scene_.pass_on()
        await scene_.broker.everything_answered()
        # All may be answered before it starts.
        assert await eventually(lambda: starts(scene_.heir)) == [at_death.committed]
        await scene_.check()


@pytest.mark.parametrize("point", IN_A_TRANSACTION, ids=str)
async def test_results_go_on_soon_after_an_owner_has_died_in_a_transaction(cluster: Cluster, point: Point) -> None:
    fatal = dying_at(point, after_commits=1)
    async with scene(cluster) as scene_, starting_service(scene_.broker, fatal) as dying:
        await scene_.reach(point, dying)
        async with reader_of_new_results(scene_.broker) as reader:
            await scene_.pass_on()
            await eventually(lambda: reader.getmany(timeout_ms=20))
            seen_s = time.time()
        (assigned,) = await eventually(lambda: named("assigned", scene_.heir))
        took_s = seen_s - dt.datetime.fromisoformat(assigned["timestamp"]).timestamp()
        print(f"died {point}: first result {took_s:.2f} s after the assignment")  # noqa: T201  # the figure that the test is for
        assert took_s < SOON_S


@contextlib.asynccontextmanager
async def reader_of_new_results(broker: Broker) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a reader that stands after all results that are committed now."""
    results = TopicPartition(broker.topics.predictions, 0)
    options = {"isolation_level": "read_committed", "enable_auto_commit": False, "fetch_max_wait_ms": 50}
    async with AIOKafkaConsumer(**broker.cluster.client_options, **options) as reader:
        reader.assign([results])
        reader.seek(results, (await reader.end_offsets([results]))[results])
        yield reader


WAKES_AT = [point for point in AT_DEATH if point not in (Point.ASSIGNED, Point.EPOCH)]
SILENT = [point for point in WAKES_AT if point not in (Point.POSITIONED, Point.CLASSIFIED)]
"""Where its transaction is ended, or committed, before it wakes; at the others, it may begin one that is refused."""


@pytest.mark.parametrize("point", WAKES_AT, ids=str)
async def test_an_owner_that_wakes_after_a_takeover_adds_nothing_and_rejoins(cluster: Cluster, point: Point) -> None:
    stopping = stopping_at(point, after_commits=AT_DEATH[point].commits)
    async with scene(cluster) as scene_, starting_service(scene_.broker, stopping) as zombie:
        at_stop = await scene_.reach(point, zombie)
        await scene_.pass_on()
        await scene_.broker.everything_answered()
        assert await eventually(lambda: starts(scene_.heir)) == [at_stop.committed]  # all may be answered before
        await eventually(lambda: open_transactions(scene_.broker, scene_.broker.group_id), lambda there: not there)
        ends = await scene_.ends()
        zombie.thaw()
        await eventually(lambda: named("assigned", zombie), lambda joins: len(joins) >= 2)
        if point in SILENT:
            assert await scene_.ends() == ends, "it wrote before it had rejoined"
        if point is Point.CLASSIFIED:
            (lost,) = named("lane lost", zombie)
            assert "the group refuses the offsets" in lost["why"]
        scene_.heir.terminate()
        assert await scene_.heir.wait() == 0
        await scene_.send(THIRD)
        await scene_.broker.everything_answered()
        await scene_.check()


@pytest.mark.parametrize("point", [Point.ASSIGNED, *WAKES_AT], ids=str)
async def test_an_owner_that_stops_past_its_session_does_not_disturb_the_next(cluster: Cluster, point: Point) -> None:
    commits = AT_DEATH[point].commits
    async with (
        fresh_topics(cluster, partitions=1) as broker,
        starting_service(broker, SHORT | stopping_at(point, after_commits=commits)) as zombie,
    ):
        await broker.send(DIGITS)
        if commits:
            await eventually(broker.committed_offsets, lambda at: at == {0: len(DIGITS)}, deadline_s=START_DEADLINE_S)
            await broker.send(DIGITS)
        await eventually(lambda: is_at(point, zombie), deadline_s=START_DEADLINE_S)
        async with running_service(broker, SHORT) as heir:
            await broker.everything_answered(deadline_s=60)  # once the session of the other has ended
            zombie.thaw()
            await eventually(lambda: named("assigned", zombie), lambda joins: len(joins) >= 2)
            await broker.send(DIGITS)
            await broker.everything_answered()
            assert named("lane lost", heir) == []
            assert named("transaction left open", zombie) == [], "it has ended no transaction of the next owner"
        await audited(broker, (2 + commits) * len(DIGITS))
