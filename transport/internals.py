"""All private parts of the Kafka client that we use, and a check that they are as we expect.

The client has no public way to do these things. It is pinned to a minor version, because another version could rename a
method or a local variable, and the code that uses it could then have no effect and raise no error. `check_client`
therefore inspects the client's code before anything is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.errors import KafkaError, NodeNotReadyError, ProducerFenced
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import BaseHandler, Sender
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.record.memory_records import _MemoryRecordsPy

from transport.errors import FatalError

DEFAULT_USE: Final = ConnectionGroup.DEFAULT


class PrivatePart(NamedTuple):
    """A private part of the client that we use."""

    owner: type
    name: str
    method: str | None = None
    """The method whose code contains the name; None if the part is a method or a property itself."""
    is_local: bool = False
    """True if the part is a local variable of that method."""


USED_PARTS: Final = (
    PrivatePart(AIOKafkaClient, "_conns", "__init__"),
    PrivatePart(AIOKafkaClient, "_get_conn"),
    PrivatePart(AIOKafkaClient, "_metadata_update"),
    PrivatePart(AIOKafkaClient, "force_metadata_update"),
    PrivatePart(AIOKafkaClient, "bootstrap"),
    PrivatePart(AIOKafkaClient, "send"),
    PrivatePart(AIOKafkaConnection, "_writer", "__init__"),
    PrivatePart(AIOKafkaConnection, "_versions", "__init__"),
    PrivatePart(AIOKafkaConnection, "_request_timeout", "send"),
    PrivatePart(AIOKafkaAdminClient, "_client", "__init__"),
    PrivatePart(AIOKafkaAdminClient, "_send_request"),
    PrivatePart(AIOKafkaConsumer, "_client", "__init__"),
    PrivatePart(AIOKafkaConsumer, "_subscription", "__init__"),
    PrivatePart(AIOKafkaConsumer, "_fetcher", "start"),
    PrivatePart(AIOKafkaConsumer, "_coordinator", "start"),
    PrivatePart(fetcher.Fetcher, "error_future"),
    PrivatePart(fetcher.Fetcher, "MemoryRecords", "_proc_fetch_request"),
    PrivatePart(fetcher.Fetcher, "PartitionRecords", "_proc_fetch_request"),
    PrivatePart(fetcher.PartitionRecords, "_consumer_record"),
    PrivatePart(_MemoryRecordsPy, "_next_slice", "__init__"),
    PrivatePart(GroupCoordinator, "_coordination_task", "__init__"),
    PrivatePart(GroupCoordinator, "_heartbeat_task", "_start_heartbeat_task"),
    PrivatePart(GroupCoordinator, "_group_instance_id", "__init__"),
    PrivatePart(GroupCoordinator, "_do_heartbeat"),
    PrivatePart(GroupCoordinator, "_send_req"),
    PrivatePart(GroupCoordinator, "ensure_coordinator_known"),
    PrivatePart(GroupCoordinator, "need_rejoin"),
    PrivatePart(GroupCoordinator, "request_rejoin"),
    PrivatePart(SubscriptionState, "subscription"),
    PrivatePart(Assignment, "state_value"),
    PrivatePart(TopicPartitionState, "timestamp", "__init__"),
    PrivatePart(TopicPartitionState, "lso", "__init__"),
    PrivatePart(TopicPartitionState, "highwater", "__init__"),
    PrivatePart(AIOKafkaProducer, "_sender", "__init__"),
    PrivatePart(AIOKafkaProducer, "_message_accumulator", "__init__"),
    PrivatePart(MessageAccumulator, "fail_all"),
    PrivatePart(Sender, "sender_task"),
    PrivatePart(Sender, "_do_txn_commit", "_maybe_do_transactional_request"),
    PrivatePart(BaseHandler, "send", "do"),
    PrivatePart(Sender, "tasks", "_sender_routine", is_local=True),
)


def check_client(parts: tuple[PrivatePart, ...] = USED_PARTS) -> None:
    """Check that the client has all private parts that we use.

    Raises
    ------
    FatalError
        The message names the client's version and what it lacks.
    """
    missing = [f"{part.owner.__name__}.{part.method or part.name}" for part in parts if not _is_there(part)]
    if missing:
        raise FatalError(
            f"aiokafka {aiokafka.__version__} is not the client that this release was made for, it lacks or has "
            f"changed {', '.join(dict.fromkeys(missing))}: install the version that requirements/run.txt pins"
        )


def _is_there(part: PrivatePart) -> bool:
    if part.method is None:
        return hasattr(part.owner, part.name)
    code = getattr(getattr(part.owner, part.method, None), "__code__", None)
    if code is None:
        return False
    return part.name in (code.co_varnames + code.co_cellvars if part.is_local else code.co_names)


def client_of(owner: AIOKafkaConsumer | AIOKafkaAdminClient) -> AIOKafkaClient:
    """Return the client that has the connections of a consumer or an admin client."""
    return owner._client  # noqa: SLF001


def cluster_metadata_of(consumer: AIOKafkaConsumer) -> Any:
    """Return the metadata that a consumer has of brokers, topics and leaders."""
    return client_of(consumer).cluster


def connections(client: AIOKafkaClient) -> Iterator[tuple[int, AIOKafkaConnection]]:
    """Iterate over the client's connections, each with the id of its broker."""
    for (node, _), connection in list(client._conns.items()):  # noqa: SLF001
        yield node, connection


async def connection_to(client: AIOKafkaClient, node: int, use: object = DEFAULT_USE) -> AIOKafkaConnection | None:
    """Return a connection to a broker, one for each use; None if the broker cannot be reached."""
    return await client._get_conn(node, group=use)  # noqa: SLF001


def abort_connection(connection: AIOKafkaConnection) -> None:
    """Close a connection at once; data that was not sent yet is lost."""
    if (writer := connection._writer) is not None:  # noqa: SLF001
        writer.transport.abort()


def file_descriptor(connection: AIOKafkaConnection) -> int:
    """Return the number of a connection's socket; -1 if it is closed."""
    writer = connection._writer  # noqa: SLF001
    return -1 if writer is None else writer.get_extra_info("socket").fileno()


def remove_time_limit(connection: AIOKafkaConnection) -> None:
    """Let a connection wait for answers without a time limit; its user has one."""
    connection._request_timeout = None  # noqa: SLF001


def newest_version(connection: AIOKafkaConnection, api_key: int) -> int:
    """Return the newest version of a request that the broker supports; 0 if it does not know the request."""
    version: int = connection._versions.get(api_key, (0, 0))[1]  # noqa: SLF001
    return version


def replace_metadata_update(client: AIOKafkaClient, update: Callable[[Any, Any], Awaitable[bool]]) -> None:
    """Replace the function by which a client requests metadata."""
    client._metadata_update = update  # noqa: SLF001


async def send_as_admin(admin: AIOKafkaAdminClient, request: Any, node: int | None = None) -> Any:
    """Send a request to a broker, or to any broker if `node` is None, and return its answer."""
    return await admin._send_request(request, node)  # noqa: SLF001


def assignment_of(consumer: AIOKafkaConsumer) -> Any:
    """Return the partitions that a consumer has now, with the state of each."""
    return consumer._subscription.subscription.assignment  # noqa: SLF001


def state_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Any:
    """Return the state of one of a consumer's partitions: position, end of the log, last stable offset."""
    return assignment_of(consumer).state_value(partition)


def coordinator_of(consumer: AIOKafkaConsumer) -> GroupCoordinator:
    """Return the part of a consumer that talks to the group's coordinator."""
    return consumer._coordinator  # noqa: SLF001


def instance_id_of(coordinator: GroupCoordinator) -> str | None:
    """Return the name of a static member of the group; None if it has none."""
    name: str | None = coordinator._group_instance_id  # noqa: SLF001
    return name


def must_rejoin(consumer: AIOKafkaConsumer) -> bool:
    """Return whether the consumer knows that it has to join the group again."""
    needed: bool = coordinator_of(consumer).need_rejoin(consumer._subscription.subscription)  # noqa: SLF001
    return needed


async def send_to_coordinator(consumer: AIOKafkaConsumer, request: Any) -> Any:
    """Send a request to the broker that coordinates the group, and return its answer."""
    return await coordinator_of(consumer)._send_req(request)  # noqa: SLF001


def heartbeat_of(consumer: AIOKafkaConsumer) -> Callable[[], Awaitable[bool]]:
    """Return the method by which a consumer sends a heartbeat; it returns whether the group has confirmed it."""
    beat: Callable[[], Awaitable[bool]] = coordinator_of(consumer)._do_heartbeat  # noqa: SLF001
    return beat


def replace_heartbeat(consumer: AIOKafkaConsumer, beat: Callable[[], Awaitable[bool]]) -> None:
    """Replace the function by which a consumer sends its heartbeats."""
    coordinator_of(consumer)._do_heartbeat = beat  # noqa: SLF001


def coordination_has_ended(consumer: AIOKafkaConsumer) -> bool:
    """Return whether the task that keeps the consumer in the group has ended."""
    ended: bool = coordinator_of(consumer)._coordination_task.done()  # noqa: SLF001
    return ended


def heartbeats_have_ended(consumer: AIOKafkaConsumer) -> bool:
    """Return whether the task that sends the consumer's heartbeats has ended after its start."""
    beating = coordinator_of(consumer)._heartbeat_task  # noqa: SLF001
    return beating is not None and beating.done()


def fetch_task_of(consumer: AIOKafkaConsumer) -> asyncio.Task[None]:
    """Return the task in which a consumer fetches."""
    task: asyncio.Task[None] = consumer._fetcher.error_future  # noqa: SLF001
    return task


def sender_task_of(producer: AIOKafkaProducer) -> asyncio.Task[None] | None:
    """Return the task in which a producer sends, None before its start."""
    task: asyncio.Task[None] | None = producer._sender.sender_task  # noqa: SLF001
    return task


def request_tasks_of(sending: asyncio.Task[None]) -> set[asyncio.Task[Any]]:
    """Return the tasks of a producer's open requests; its sender task must not have ended."""
    frame = sending.get_coro().cr_frame  # type: ignore[union-attr]
    return set(frame.f_locals.get("tasks", ()))


def fail_batches(producer: AIOKafkaProducer, error: Exception) -> None:
    """Fail all batches of a producer with an error; a flush waits for them otherwise."""
    producer._message_accumulator.fail_all(error)  # noqa: SLF001


class EndUnknownError(ProducerFenced):  # type: ignore[misc]  # the client ships no types
    """No answer has come to the end of a transaction; only a new producer with the same id can decide it.

    It is of this kind because the client then ends the producer at once.
    """


def ask_once_for_ends(producer: AIOKafkaProducer) -> None:
    """Let a producer fail with `EndUnknownError` if no answer comes to the end of a transaction.

    By itself it would send the request again in the same epoch. If the first one is only late, it ends the next
    transaction, which may have only a part of its records then. Forced by
    test_an_end_that_arrives_late_commits_no_request_without_its_key.
    """
    client, sender = producer.client, producer._sender  # noqa: SLF001
    send, end = client.send, sender._do_txn_commit  # noqa: SLF001
    unanswered: list[KafkaError] = []

    async def send_noting(node: int, request: Any, **options: Any) -> Any:
        try:
            return await send(node, request, **options)
        except NodeNotReadyError:  # it was not sent
            raise
        except KafkaError as error:
            if isinstance(request, EndTxnRequest):
                unanswered.append(error)
            raise

    async def end_once(commit: bool) -> None:  # noqa: FBT001  # as the client calls it
        await end(commit)
        if unanswered:
            raise EndUnknownError(str(unanswered[-1]))

    client.send, sender._do_txn_commit = send_noting, end_once  # noqa: SLF001
