"""Requests of a transaction that was given up arrive late, inside the next one; with both versions of transactions.

The producer under test reaches its broker through a relay, which holds one request until the producer gives it up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import RequestTimedOutError

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from contract.topics import TopicSettings
from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.request_relay import Held, Kind, RequestRelay, relaying_requests
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually
from transport.protocol.offsets import Member, commit_offsets
from transport.protocol.produce import produce
from transport.protocol.requests import Prepared, codes_of
from transport.protocol.transactions import Producer, end_transaction
from transport.settings.kafka import GroupKafkaSettings, GroupSettings
from transport.sink.connections import SinkConnections
from transport.sink.outcomes import NotCommitted, OutcomeUnknown
from transport.sink.producer import TransactionalProducer

pytestmark = pytest.mark.slow  # two brokers start for it

PARTITIONS = 4
REQUEST_TIMEOUT_MS = 1_000
GIVEN_UP = {Kind.PRODUCE: NotCommitted, Kind.OFFSETS: NotCommitted, Kind.END: OutcomeUnknown}
NEXT_HELD = {Kind.PRODUCE: Kind.END, Kind.OFFSETS: Kind.END, Kind.END: Kind.OFFSETS}
"""Where the next transaction stands when the request arrives: half written if that is an end, else written."""


@dataclass(frozen=True)
class RelayedCluster:
    """A broker that clients reach through a relay at `port`."""

    cluster: Cluster
    port: int
    version: int
    """Of transactions."""


@pytest.fixture(scope="module", params=[2, 1], ids=["version 2", "version 1"])
def relayed(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[RelayedCluster]:
    del cluster  # where Kafka is not installed, it has skipped the test
    [port] = free_ports(1)
    with running_broker(relays=[port], features={"transaction.version": request.param}) as own:
        yield RelayedCluster(own, port, request.param)


class RepeatingConnections(SinkConnections):
    """Does what the producer must not do: sends a request again, in the same epoch, when no answer has come."""

    async def send(self, node: int, request: Prepared) -> Any:
        try:
            return await super().send(node, request)
        except RequestTimedOutError:
            return await super().send(node, request)


@dataclass
class Scene:
    """A producer that reaches its broker through a relay, and the topics that it writes to."""

    broker: Broker
    relay: RequestRelay
    producer: TransactionalProducer

    async def commit(self, answer: str) -> None:
        """Publish an answer in each partition, and commit as the offset the number of answers."""
        topics = self.broker.topics
        records = [OutgoingRecord(None, answer.encode(), [])]
        batches = {
            TopicPartition(topics.predictions, number): list(build_batches(records)) for number in range(PARTITIONS)
        }
        offset = ord(answer) - ord("a") + 1
        offsets = {TopicPartition(topics.requests, number): offset for number in range(PARTITIONS)}
        await self.producer.commit(batches, offsets, Member(self.broker.group_id, -1, ""))

    async def began(self) -> bool:
        """Commit the first answer, which is refused while the leaders of new topics begin."""
        try:
            await self.commit("a")
        except NotCommitted:
            return False
        return True

    async def committed(self) -> tuple[list[str], set[int | None]]:
        """Return the committed answers of each partition, which must be the same, and all committed offsets."""
        records = await self.broker.read(self.broker.topics.predictions)
        answers = {
            "".join(record.value.decode() for record in records if record.partition == number)
            for number in range(PARTITIONS)
        }
        return sorted(answers), set((await self.broker.committed_offsets()).values())

    async def committed_as(self, answers: str) -> None:
        """Check that these answers are committed in this order, once, in every partition, with their offset."""
        last = ord(answers[-1]) - ord("a") + 1
        assert await self.committed() == ([answers], {last})

    async def visible(self) -> set[str]:
        """Return the answers that a read_committed reader sees now, while a transaction may be open."""
        seen: set[str] = set()
        async with self.broker._reader(self.broker.topics.predictions, isolation_level="read_committed") as consumer:
            partitions = consumer.assignment()

            async def unread() -> list[TopicPartition]:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    seen.update(record.value.decode() for record in records)
                states = [(each, consumer.last_stable_offset(each)) for each in partitions]
                return [each for each, end in states if end is None or await consumer.position(each) < end]

            await eventually(unread, lambda left: not left)
        return seen


@contextlib.asynccontextmanager
async def scene(relayed: RelayedCluster, kind: type[SinkConnections] = SinkConnections) -> AsyncIterator[Scene]:
    async with (
        fresh_topics(relayed.cluster, partitions=PARTITIONS) as broker,
        relaying_requests(relayed.port, relayed.cluster.nodes[0].relayed_port) as relay,
    ):
        settings = settings_of(broker, relayed.port)
        async with kind.opened(settings) as connections:
            scene_ = Scene(broker, relay, TransactionalProducer(connections, f"{broker.group_id}.x", settings))
            await broker.commit(0, partition=0)  # the group has a coordinator now
            await eventually(scene_.began)
            yield scene_


def settings_of(broker: Broker, port: int) -> GroupSettings:
    topics: TopicSettings = broker.topics
    kafka = GroupKafkaSettings(
        bootstrap_servers=f"{HOST}:{port}", group_id=broker.group_id, request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    return GroupSettings(kafka=kafka, topics=topics)


async def held_of(committing: asyncio.Task[None], queue: asyncio.Queue[Held]) -> Held:
    """Return the request of a commit that the relay holds; raise what the commit raises before."""
    getting = asyncio.create_task(queue.get())
    await asyncio.wait({getting, committing}, return_when=asyncio.FIRST_COMPLETED)
    if not getting.done():
        getting.cancel()
        await committing
    return await getting


async def commit_with_one_held(scene_: Scene, kind: Kind, answer: str) -> Held:
    """Commit, and return the request that the relay has held; raise what the commit raises only if it is unexpected."""
    committing = asyncio.create_task(scene_.commit(answer))
    with scene_.relay.holding(kind) as held:
        late = await held_of(committing, held)
    await asyncio.wait({committing})
    if isinstance(scene_.producer._connections, RepeatingConnections):
        await committing
    else:
        assert type(committing.exception()) is GIVEN_UP[kind]
    return late


async def deliver(late: Held, kind: Kind, version: int) -> set[int]:
    """Deliver a late request, and return the error codes of its answer."""
    producer, member, version_2 = Producer("", 0, 0), Member("", 0, ""), version == 2
    requests = {
        Kind.PRODUCE: produce("", {}, 0, version_2=version_2),
        Kind.OFFSETS: commit_offsets(producer, member, {}, version_2=version_2),
        Kind.END: end_transaction(producer, commit=True, version_2=version_2),
    }
    body = BytesIO((await late.deliver_late())[1:])  # after the tags of the header
    answer = requests[kind].struct.RESPONSE_TYPE.decode(body)
    return {answer.error_code} if kind is Kind.END else set(codes_of(answer).values())


@pytest.mark.parametrize("kind", GIVEN_UP, ids=lambda kind: kind.name.lower())
async def test_requests_of_a_given_up_transaction_that_arrive_late_change_nothing(
    relayed: RelayedCluster, kind: Kind
) -> None:
    async with scene(relayed) as scene_:
        late = await commit_with_one_held(scene_, kind, "b")
        await scene_.producer.settle()
        await scene_.committed_as("a")
        await scene_.commit("b")
        committing = asyncio.create_task(scene_.commit("c"))
        with scene_.relay.holding(NEXT_HELD[kind]) as held:
            waiting = await held_of(committing, held)
        refusals = await deliver(late, kind, relayed.version)
        assert 0 not in refusals, "the broker has accepted it"
        assert await scene_.visible() == {"a", "b"}
        waiting.pass_on()
        await committing
        await scene_.committed_as("abc")
        await scene_.commit("d")
        await scene_.committed_as("abcd")


@pytest.mark.parametrize("kind", GIVEN_UP, ids=lambda kind: kind.name.lower())
async def test_requests_that_arrive_before_their_transaction_is_repeated_change_nothing(
    relayed: RelayedCluster, kind: Kind
) -> None:
    async with scene(relayed) as scene_:
        late = await commit_with_one_held(scene_, kind, "b")
        await scene_.producer.settle()
        assert 0 not in await deliver(late, kind, relayed.version)
        await scene_.committed_as("a")
        await scene_.commit("b")
        await scene_.committed_as("ab")


@pytest.mark.parametrize("kind", GIVEN_UP, ids=lambda kind: kind.name.lower())
async def test_a_transaction_whose_answer_is_lost_is_decided_once_it_is_settled(
    relayed: RelayedCluster, kind: Kind
) -> None:
    async with scene(relayed) as scene_:
        with scene_.relay.losing_answers(kind) as lost:
            with pytest.raises(GIVEN_UP[kind]):
                await scene_.commit("b")
            assert lost.is_set()
        await scene_.producer.settle()
        if kind is Kind.END:  # the broker has committed it, so it is not repeated
            await scene_.committed_as("ab")
        else:
            await scene_.committed_as("a")
            await scene_.commit("b")
        await scene_.commit("c")
        await scene_.committed_as("abc")


@pytest.mark.parametrize("relayed", [1], indirect=True, ids=["version 1"])
@pytest.mark.parametrize("kind", [Kind.OFFSETS, Kind.END], ids=lambda kind: kind.name.lower())
async def test_a_producer_that_repeats_requests_in_one_epoch_would_do_harm(relayed: RelayedCluster, kind: Kind) -> None:
    """The reason for all this, and proof that the tests above can fail."""
    async with scene(relayed, RepeatingConnections) as scene_:
        late = await commit_with_one_held(scene_, kind, "b")
        await scene_.committed_as("ab")
        committing = asyncio.create_task(scene_.commit("c"))
        with scene_.relay.holding(NEXT_HELD[kind]) as held:
            waiting = await held_of(committing, held)
        assert await deliver(late, kind, relayed.version) == {0}
        visible = await scene_.visible()
        waiting.pass_on()
        await asyncio.wait({committing})
        if kind is Kind.END:
            assert isinstance(committing.exception(), NotCommitted | OutcomeUnknown)
            assert visible == {"a", "b", "c"}, "c is committed without its offset"
        else:
            await committing
            assert await scene_.committed() == (["abc"], {2}), "the offset has moved back"
