"""The transactional producer of one input partition.

Its id is ``{group}.{topic}.{partition}``: starting it fences whoever owned the partition before and aborts
what he had open. (aiokafka sends the group id alone with the offsets, so the broker cannot tell a stale
member as KIP-447 has it; one id per partition does.)

A producer that has failed once is thrown away. Whatever went wrong, the way on is the same: a new
producer with the same id, the committed offset, and repetition from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedVersionError,
)
from aiokafka.structs import OffsetAndMetadata

from contract.topics import RESULTS_BATCH_BYTES
from transport.admin.authorization import denial, transactional_id
from transport.errors import FatalError, OwnershipLost, describe, leaf_exceptions
from transport.internals import fail_batches, request_tasks_of, sender_task_of
from transport.metadata import MAX_AGE_MS, patch_client
from transport.settings.kafka import GroupSettings
from transport.shutdown import STOP_TIMEOUT_S, abort_connections, stop_within

log = structlog.get_logger()

RETRY_BACKOFF_MS: Final = 20
"""Coordinators refuse for some milliseconds while they write the last transaction's markers; the default of 100 ms
would be most of the latency."""
START_TIMEOUT_S: Final = 15.0

FATAL: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    InvalidTransactionTimeout,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedVersionError,
)
"""What no new producer would mend."""


class OutgoingRecord(NamedTuple):
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value, for the metrics."""
        return len(self.key or b"") + len(self.value or b"")


class PartitionProducer:
    """A started transactional producer. Owner: the publishing task of one lane."""

    def __init__(self, producer: AIOKafkaProducer, partition: TopicPartition, settings: GroupSettings) -> None:
        self._producer = producer
        self._partition = partition
        self._group_id = settings.kafka.group_id
        # Shorter than the broker's patience: at its end the outcome is unknown either way, and we know it first.
        self._deadline_s = settings.kafka.transaction_timeout_ms / 1000

    @classmethod
    @contextlib.asynccontextmanager
    async def fencing(
        cls, partition: TopicPartition, settings: GroupSettings, servers: Sequence[str] = ()
    ) -> AsyncIterator[PartitionProducer]:
        """Start the producer of a partition, which fences its previous owner.

        Parameters
        ----------
        partition, settings
            Whose, and how.
        servers
            Brokers known to be alive, ``host:port``; without them those of the settings are tried.

        Raises
        ------
        OwnershipLost
            It did not start in time; the group is asked before the next attempt.
        FatalError
            It may not start.
        """
        options = settings.kafka.client_options()
        producer = AIOKafkaProducer(
            **options | {"bootstrap_servers": list(servers) or options["bootstrap_servers"]},
            transactional_id=transactional_id(settings, partition.partition),
            transaction_timeout_ms=settings.kafka.transaction_timeout_ms,
            max_batch_size=RESULTS_BATCH_BYTES,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            # A dead letter may be as large as a request; the topic's own limit decides, checked at the start.
            max_request_size=2**31 - 1,
            request_timeout_ms=settings.kafka.request_timeout_ms,
            metadata_max_age_ms=MAX_AGE_MS,
        )
        patch_client(producer.client, settings.kafka.request_timeout_ms, settings.topics.names)
        try:
            with _translated(partition, "start"):
                async with asyncio.timeout(START_TIMEOUT_S):
                    await producer.start()
            yield cls(producer, partition, settings)
        finally:
            await _stop(producer)

    async def partition_count(self, topic: str) -> int:
        """Return how many partitions an output topic has."""
        with _translated(self._partition, "look up the partitions"):
            async with asyncio.timeout(self._deadline_s):
                return len(await self._producer.partitions_for(topic))

    async def commit(self, outgoing: Mapping[TopicPartition, Iterable[OutgoingRecord]], next_offset: int) -> None:
        """Publish records and the offset behind their requests, in one transaction.

        Raises
        ------
        OwnershipLost
            It was refused, or did not end in time: then it may have been committed all the same.
        FatalError
            It would be refused again.
        """
        with _translated(self._partition, "commit"):
            async with asyncio.timeout(self._deadline_s):
                await self._producer.begin_transaction()
                async with asyncio.TaskGroup() as group:
                    for target, records in outgoing.items():
                        group.create_task(self._send(target, records))
                    group.create_task(self._send_offset(next_offset))
                # Every send has been acknowledged: a commit after a failed send would succeed without it.
                await self._producer.commit_transaction()

    async def _send(self, target: TopicPartition, records: Iterable[OutgoingRecord]) -> None:
        batch = self._producer.create_batch()
        for record in records:
            # None: the batch is full. Its first record a batch always takes, however large.
            while batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
                await (await self._producer.send_batch(batch, target.topic, partition=target.partition))
                batch = self._producer.create_batch()
        if batch.record_count():
            await (await self._producer.send_batch(batch, target.topic, partition=target.partition))

    async def _send_offset(self, next_offset: int) -> None:
        offsets = {self._partition: OffsetAndMetadata(next_offset, "")}
        await self._producer.send_offsets_to_transaction(offsets, self._group_id)


@contextlib.contextmanager
def _translated(partition: TopicPartition, what: str) -> Iterator[None]:
    """Turn aiokafka's errors into ours.

    Its `retriable` flags are not asked (they say no of timeouts and of rebalances), and ProducerFenced may
    also mean that our own transaction timed out. Only refusals by right or by size are known to be final.
    """
    name = f"{partition.topic}/{partition.partition}"
    try:
        yield
    except (KafkaError, TimeoutError, AssertionError, ExceptionGroup) as error:
        # AssertionError: aiokafka asserts its own state machine, which a late answer can upset.
        raised = leaf_exceptions(error)
        causes = [_root_cause(each) for each in raised]
        for cause in causes:
            if isinstance(cause, FATAL):
                raise FatalError(f"cannot {what} for {name}: {_denial(cause, partition) or describe(cause)}") from error
        if not all(isinstance(each, KafkaError | TimeoutError | AssertionError) for each in raised):
            raise
        raise OwnershipLost(f"could not {what} for {name}: {describe(causes[0])}") from error


def _denial(error: BaseException, partition: TopicPartition) -> str | None:
    """Say which right is missing, None if the error is another one.

    If a topic may not be written to, the client names it. It names none if the offset may not be committed: that needs
    the right to read the requests.
    """
    if isinstance(error, TopicAuthorizationFailedError) and not error.args:
        return denial(TopicAuthorizationFailedError(partition.topic), topic_right="Read")
    return denial(error)


def _root_cause(error: BaseException) -> BaseException:
    """Unwrap what ended the client's sender: that says "unexpected error" of all that it does not name itself.

    Among them a refusal for good.
    Forced by test_a_producer_whose_id_the_broker_has_forgotten_is_replaced.
    """
    return error.__cause__ if isinstance(error, KafkaError) and error.__cause__ is not None else error


async def _stop(producer: AIOKafkaProducer) -> None:
    # stop() flushes, and so may wait for a broker that is gone. It does not abort: whatever is open is
    # aborted by the next start with this id, or by the broker when it times out.
    in_order = False
    try:
        in_order = await stop_within(producer.stop, STOP_TIMEOUT_S)
    finally:  # also where nobody has the time to wait for it
        if not in_order:
            log.debug("producer not stopped in order", action="its connections are closed")
            # Its sender would go on trying, and keep what it holds, for as long as this process lives.
            await _cancel_sender(sender_task_of(producer))
            fail_batches(producer, ProducerClosed())
            await abort_connections(producer.client, STOP_TIMEOUT_S)


async def _cancel_sender(sending: asyncio.Task[None] | None) -> None:
    """End a producer's sender together with the requests that it has under way.

    Cancelled alone it waits for them; and one that looks for a coordinator waits for news that a client which has
    closed its connections never gets, while one that is to be repeated stumbles over the batches given up below it.
    Forced by test_a_producer_with_waiting_retries_leaves_no_task_or_connection.
    """
    if sending is None or sending.done():
        return
    tasks = {sending, *request_tasks_of(sending)}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
