"""A test's own topics and group on a shared broker, and what tests do with them from outside.

The clients here are plain aiokafka, so a test sees what any other program would see.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.group import LeaveGroupRequest

from broker.topics import create_topics
from contract.records import Result
from contract.topics import MAX_RECORD_BYTES, TopicSettings
from tests.harness.waiting import DEADLINE_S, eventually

Headers = Sequence[tuple[str, bytes]]


class Position(NamedTuple):
    """Where a record lies in its topic; sorts by partition, then offset."""

    partition: int
    offset: int


class Reachable(Protocol):
    """What topics need of a cluster: ours, or one that was started elsewhere."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""

    @property
    def client_options(self) -> dict[str, Any]:
        """How an aiokafka client reaches it, as one who may do everything."""

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], *, partitions: int = ...) -> None:
        """Create topics with their settings."""


@dataclass(frozen=True)
class RunningElsewhere:
    """A broker that was started elsewhere."""

    bootstrap_servers: str

    @property
    def client_options(self) -> dict[str, Any]:
        """How an aiokafka client reaches it."""
        return {"bootstrap_servers": self.bootstrap_servers}

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], *, partitions: int = 8) -> None:
        """Create topics, with as many replicas as every cluster can have."""
        await create_topics(self.client_options, configs, partitions=partitions, replicas=1)


class Broker:
    """Three topics and a group. Made by `fresh_topics`, or `existing_topics`.

    Attributes
    ----------
    cluster
        The cluster with the topics; other tests use it as well.
    topics, group_id
        Unique, if they are fresh.
    admin
        The admin client, for what has no method here.
    """

    def __init__(
        self,
        cluster: Reachable,
        topics: TopicSettings,
        group_id: str,
        *,
        partitions: int,
        admin: AIOKafkaAdminClient,
        producer: AIOKafkaProducer,
    ) -> None:
        self.cluster = cluster
        self.partitions = partitions
        self.topics = topics
        self.group_id = group_id
        self.admin = admin
        self._producer = producer

    @property
    def environment(self) -> dict[str, str]:
        """The settings that bind a service or a client to these topics."""
        return {
            "DIGITS_KAFKA__BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
            "DIGITS_KAFKA__GROUP_ID": self.group_id,
            "DIGITS_TOPICS__REQUESTS": self.topics.requests,
            "DIGITS_TOPICS__PREDICTIONS": self.topics.predictions,
            "DIGITS_TOPICS__DEAD_LETTER": self.topics.dead_letter,
        }

    async def send(
        self,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> list[Position]:
        """Send request records as an idempotent producer does, in order: to one partition, or to all in rotation.

        Returns
        -------
        list of Position
            Where they lie, in the order of `values`.
        """
        return await self._send_with(self._producer, values, partition, key, headers)

    async def send_in_transaction(
        self,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        headers: Headers = (),
        abort: bool = False,
    ) -> list[Position]:
        """As `send`, in one transaction of an upstream application, which then commits or aborts it."""
        upstream = f"upstream-{uuid.uuid4().hex[:8]}"
        async with _producer(self.cluster, transactional_id=upstream) as producer:
            await producer.begin_transaction()
            positions = await self._send_with(producer, values, partition, key, headers)
            await (producer.abort_transaction() if abort else producer.commit_transaction())
        return positions

    async def read(self, topic: str, *, deadline_s: float = DEADLINE_S) -> list[ConsumerRecord]:
        """Read what is committed in a topic up to its present end, by partition and offset.

        Waits for open transactions before that end to be decided.
        """
        ends = await self.end_offsets(topic)
        async with self._reader(topic, isolation_level="read_committed") as consumer:
            records: list[ConsumerRecord] = []

            async def unread() -> list[TopicPartition]:
                for some in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(some)
                tps = consumer.assignment()
                return [tp for tp in tps if await consumer.position(tp) < ends[tp.partition]]

            await eventually(unread, lambda tps: not tps, deadline_s=deadline_s)
        return sorted(
            (record for record in records if record.offset < ends[record.partition]),
            key=lambda record: (record.partition, record.offset),
        )

    async def results(self, *, deadline_s: float = DEADLINE_S) -> list[Result]:
        """Read the committed results, parsed, by partition and in their order there."""
        records = await self.read(self.topics.predictions, deadline_s=deadline_s)
        return [Result.model_validate_json(record.value) for record in records]

    async def dead_letters(self, *, deadline_s: float = DEADLINE_S) -> list[ConsumerRecord]:
        """Read the committed dead letters, by partition and in their order there."""
        return await self.read(self.topics.dead_letter, deadline_s=deadline_s)

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Return where the next record of each partition will lie, open transactions included."""
        async with self._reader(topic, isolation_level="read_uncommitted") as consumer:
            return {tp.partition: end for tp, end in (await consumer.end_offsets(consumer.assignment())).items()}

    async def committed_offsets(self) -> dict[int, int | None]:
        """Return the group's committed offset in each partition of the requests; None where there is none."""
        tps = [TopicPartition(self.topics.requests, partition) for partition in range(self.partitions)]
        offsets = await self.admin.list_consumer_group_offsets(self.group_id, partitions=tps)
        return {tp.partition: at.offset if at.offset >= 0 else None for tp, at in sorted(offsets.items())}

    async def everything_answered(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once the group has committed all requests sent so far (markers of transactions apart)."""
        last: dict[int, int] = {}
        for record in await self.read(self.topics.requests):
            last[record.partition] = record.offset + 1

        async def unanswered() -> dict[int, int | None]:
            committed = await self.committed_offsets()
            return {each: committed[each] for each, end in last.items() if (committed[each] or 0) < end}

        await eventually(unanswered, lambda left: not left, deadline_s=deadline_s)

    async def commit(self, offset: int, *, partition: int) -> None:
        """Commit an offset in the group's name. The group must have no member."""
        tp = TopicPartition(self.topics.requests, partition)
        options = {"group_id": self.group_id, "enable_auto_commit": False}
        async with AIOKafkaConsumer(**self.cluster.client_options, **options) as consumer:
            consumer.assign([tp])
            await consumer.commit({tp: offset})

    async def commit_beside_members(self, offset: int, *, partition: int) -> None:
        """Commit an offset while the group has members: of a transaction Kafka does not ask who it comes from."""
        async with _producer(self.cluster, transactional_id=f"operator-{uuid.uuid4().hex[:8]}") as producer:
            await producer.begin_transaction()
            offsets = {TopicPartition(self.topics.requests, partition): offset}
            await producer.send_offsets_to_transaction(offsets, self.group_id)
            await producer.commit_transaction()

    async def expire_requests(self, *, partition: int, before: int) -> None:
        """Have retention delete all requests there are, and return when a partition begins at an offset.

        The broker must look often (`log.retention.check.interval.ms`); what is sent later stays.
        """
        tp = TopicPartition(self.topics.requests, partition)
        await self._retain_ms(1)
        try:
            async with self._reader(tp.topic, isolation_level="read_uncommitted") as consumer:
                await eventually(lambda: consumer.beginning_offsets([tp]), lambda begins: begins[tp] >= before)
        finally:
            await self._retain_ms(-1)

    async def _retain_ms(self, retention_ms: int) -> None:
        topic = self.topics.requests
        configs = self.topics.creation_configs()[topic] | {"retention.ms": str(retention_ms)}
        (answer,) = await self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        assert [code for code, *_ in answer.resources] == [0]

    async def expel_members(self) -> None:
        """Remove all members from the group, as the group does when their sessions end, but without the wait."""
        coordinator = await self.admin.find_coordinator(self.group_id)
        (description,) = await self.admin.describe_consumer_groups([self.group_id], coordinator)
        members = [member[0] for group in description.groups for member in group[5]]
        for member in members:
            left = await self.admin._send_request(LeaveGroupRequest(self.group_id, member), coordinator)
            assert left.error_code == 0, f"{member} could not be expelled: error {left.error_code}"

    async def delete_requests_before(self, offset: int, *, partition: int) -> None:
        """Remove requests as retention would."""
        tp = TopicPartition(self.topics.requests, partition)
        await self.admin.delete_records({tp: RecordsToDelete(before_offset=offset)})

    async def _send_with(
        self,
        producer: AIOKafkaProducer,
        values: Iterable[bytes | None],
        partition: int | None,
        key: bytes | None,
        headers: Headers,
    ) -> list[Position]:
        targets = itertools.cycle(range(self.partitions)) if partition is None else itertools.repeat(partition)
        sent = [
            await producer.send(self.topics.requests, value, key=key, partition=target, headers=headers)
            for value, target in zip(values, targets, strict=False)
        ]
        return [Position(done.partition, done.offset) for done in [await each for each in sent]]

    @contextlib.asynccontextmanager
    async def _reader(self, topic: str, *, isolation_level: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self.cluster.client_options,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level=isolation_level,
            fetch_max_wait_ms=50,
        )
        async with consumer:
            consumer.assign([TopicPartition(topic, partition) for partition in range(self.partitions)])
            yield consumer


@contextlib.asynccontextmanager
async def fresh_topics(
    cluster: Reachable, *, partitions: int = 8, configs: Mapping[str, str] | None = None
) -> AsyncIterator[Broker]:
    """Create three topics of their own names for the length of an ``async with`` block.

    Parameters
    ----------
    cluster
        A running broker.
    partitions
        Of each topic.
    configs
        Settings of the requests topic that replace or join the recommended ones.
    """
    unique = uuid.uuid4().hex[:8]
    topics = TopicSettings(
        requests=f"requests-{unique}", predictions=f"predictions-{unique}", dead_letter=f"dead-letter-{unique}"
    )
    async with existing_topics(cluster, topics, f"group-{unique}", partitions=partitions) as broker:
        recommended = topics.creation_configs()
        recommended[topics.requests] |= configs or {}
        await cluster.create_topics(recommended, partitions=partitions)
        yield broker


@contextlib.asynccontextmanager
async def existing_topics(
    cluster: Reachable, topics: TopicSettings, group_id: str, *, partitions: int = 8, **producer_options: Any
) -> AsyncIterator[Broker]:
    """Connect to topics and a group that are there, or about to be.

    Parameters
    ----------
    cluster
        A running broker.
    topics, group_id
        Their names.
    partitions
        That each of the topics has.
    producer_options
        What the producer of `Broker.send` is to do differently.
    """
    async with contextlib.AsyncExitStack() as stack:
        admin = AIOKafkaAdminClient(**cluster.client_options)
        await admin.start()
        stack.push_async_callback(admin.close)
        producer = await stack.enter_async_context(_producer(cluster, **producer_options))
        yield Broker(cluster, topics, group_id, partitions=partitions, admin=admin, producer=producer)


def _producer(cluster: Reachable, **options: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **cluster.client_options,
        enable_idempotence=True,
        max_request_size=MAX_RECORD_BYTES + 64 * 1024,
        linger_ms=1,
        **options,
    )


def position(result: Result) -> Position:
    """Return where the request of a result lies."""
    return Position(result.source.partition, result.source.offset)
