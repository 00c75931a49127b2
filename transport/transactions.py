"""The transactional producer of one input partition.

Its id is ``{group}.{topic}.{partition}``: its start fences the producer of the partition's previous owner and aborts
its open transaction. (aiokafka sends only the group id with the offsets, so the broker cannot detect a stale member as
in KIP-447; one id per partition has the same effect.)

A producer that has failed once is not used again. After any failure a new producer with the same id starts, and the
lane continues from the committed offset.
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
from transport.admin.authorization import transactional_id
from transport.denials import denial
from transport.errors import FatalError, OwnershipLost, describe, leaf_exceptions
from transport.internals import fail_batches, request_tasks_of, sender_task_of
from transport.metadata import MAX_AGE_MS, patch_client
from transport.settings.kafka import GroupSettings
from transport.shutdown import STOP_TIMEOUT_S, abort_connections, stop_within

log = structlog.get_logger()

RETRY_BACKOFF_MS: Final = 20
"""Coordinators refuse requests for some milliseconds while they write the markers of the last transaction; the default
pause of 100 ms would be most of the latency."""
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
"""Errors that a new producer would have again."""


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
        # As long as the broker's time limit, after which the outcome is unknown in any case.
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
            The partition of requests, and the settings of the connection.
        servers
            Brokers that are known to be alive, ``host:port``; if empty, those of the settings.

        Raises
        ------
        OwnershipLost
            The producer did not start in time; the lane asks the group before the next attempt.
        FatalError
            A right is missing, or the broker refuses the producer for good.
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
        """Publish records and the offset after their requests in one transaction.

        Raises
        ------
        OwnershipLost
            The transaction was refused, or did not end in time; then it may have been committed.
        FatalError
            The transaction would be refused again.
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
            # None: the batch is full. A batch accepts its first record even if it is larger.
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
    """Translate aiokafka's errors into ours.

    Its `retriable` flags are not used, because they are false for timeouts and rebalances. ProducerFenced may also mean
    that our own transaction has timed out. Only refusals because of rights or sizes are known to be final.
    """
    name = f"{partition.topic}/{partition.partition}"
    try:
        yield
    except (KafkaError, TimeoutError, AssertionError, ExceptionGroup) as error:
        # AssertionError: aiokafka asserts the state of its transaction, which a late answer can change.
        raised = leaf_exceptions(error)
        causes = [_root_cause(each) for each in raised]
        for cause in causes:
            if isinstance(cause, FATAL):
                raise FatalError(f"cannot {what} for {name}: {_denial(cause, partition) or describe(cause)}") from error
        if not all(isinstance(each, KafkaError | TimeoutError | AssertionError) for each in raised):
            raise
        raise OwnershipLost(f"could not {what} for {name}: {describe(causes[0])}") from error


def _denial(error: BaseException, partition: TopicPartition) -> str | None:
    """Name the right that is missing; None if the error is of another kind.

    The client names a topic that we may not write to. It names none if we may not commit the offset, which needs the
    right to read the requests.
    """
    if isinstance(error, TopicAuthorizationFailedError) and not error.args:
        return denial(TopicAuthorizationFailedError(partition.topic), topic_right="Read")
    return denial(error)


def _root_cause(error: BaseException) -> BaseException:
    """Return the error that ended the client's sender, which wraps errors that it does not know, also final ones.

    Forced by test_a_producer_whose_id_the_broker_has_forgotten_is_replaced.
    """
    return error.__cause__ if isinstance(error, KafkaError) and error.__cause__ is not None else error


async def _stop(producer: AIOKafkaProducer) -> None:
    # stop() flushes, so it may wait for a broker that does not answer. It does not abort an open transaction: the next
    # start with this id does, or the broker when the transaction times out.
    in_order = False
    try:
        in_order = await stop_within(producer.stop, STOP_TIMEOUT_S)
    finally:  # also when this task is cancelled while it waits
        if not in_order:
            log.debug("producer not stopped in order", action="closing connections")
            # Otherwise its sender would retry and keep its batches until the process ends.
            await _cancel_sender(sender_task_of(producer))
            fail_batches(producer, ProducerClosed())
            await abort_connections(producer.client, STOP_TIMEOUT_S)


async def _cancel_sender(sending: asyncio.Task[None] | None) -> None:
    """Cancel a producer's sender task together with the tasks of its open requests.

    If only the sender is cancelled, it waits for these tasks. One that looks for a coordinator would never end once the
    connections are closed, and one that retries would fail on batches that have already been failed.
    Forced by test_a_producer_with_waiting_retries_leaves_no_task_or_connection.
    """
    if sending is None or sending.done():
        return
    tasks = {sending, *request_tasks_of(sending)}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
