"""Reads topics, their limits and group offsets for commands, and creates topics."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupIdNotFound,
    GroupLoadInProgressError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from contract.topics import TopicFound, TopicSettings
from transport.clients import request_deadline, running_client, wait_for_brokers
from transport.errors import KafkaRequestError
from transport.internals import send_as_admin
from transport.retry import retry
from transport.settings.kafka import KafkaSettings

UNLIMITED_BYTES: Final = 100 * 1024 * 1024
"""The broker's default limit of a request (socket.request.max.bytes): no record is larger."""
RETRY_PAUSE_S: Final = 0.1

_COORDINATOR_MOVED: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    NodeNotReadyError,
    RequestTimedOutError,
    KafkaConnectionError,
)
"""Errors while another broker becomes the group's coordinator, or loads its offsets, which takes seconds."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An instance of the service, or another reader in its group."""

    member_id: str
    client_id: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group as its coordinator describes it."""

    state: str
    """One of Stable, PreparingRebalance, CompletingRebalance, Empty and Dead."""
    members: Sequence[GroupMember]

    def owner(self, partition: TopicPartition) -> GroupMember | None:
        """Return the member that a partition is assigned to."""
        return next((member for member in self.members if partition in member.partitions), None)


class ClusterAdmin:
    """An admin client and the topics it has listed. Owner: the task that opened it with `open_cluster`."""

    def __init__(self, admin: AIOKafkaAdminClient, listed: Mapping[str, Sequence[Any]], where: str) -> None:
        self._admin = admin
        self._listed = listed
        self._where = where

    def partitions(self, topics: TopicSettings, role: str) -> list[TopicPartition]:
        """Return the partitions of the topic in a role: a field of `TopicSettings`.

        Raises
        ------
        KafkaRequestError
            There is no such topic.
        """
        name = getattr(topics, role)
        if name not in self._listed:
            near = difflib.get_close_matches(name, self._listed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self._listed)) or 'none'}"
            variable = f"DIGITS_TOPICS__{role.upper()}"
            raise KafkaRequestError(
                f"there is no topic {name!r} ({variable}) at {self._where} that this user may see (ACL); {hint}"
            )
        return [TopicPartition(name, number) for number in range(len(self._listed[name]))]

    def partition_count(self, topic: str) -> int:
        """Return how many partitions a topic has; 0 if there is no such topic that this user may see."""
        return len(self._listed.get(topic, ()))

    async def max_message_bytes(self, topic: str) -> int | None:
        """Return the largest record batch that the topic accepts; None if this user may not read its settings."""
        name = "max.message.bytes"
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: ""})
        async with request_deadline(f"read the settings of topic {topic!r}"):
            responses = await self._admin.describe_configs([resource])
        for response in responses:
            for _error, _message, _kind, _topic, entries in response.resources:
                for key, value, *_ in entries:  # no entries without the right to read them
                    if key == name:
                        return int(value)
        return None

    async def topics_found(self, topics: TopicSettings) -> dict[str, TopicFound]:
        """Describe the topics that exist, by name."""
        names = [name for name in topics.by_role.values() if name in self._listed]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs: dict[str, dict[str, str]] = {}
        async with request_deadline("read the settings of the topics"):
            for response in await self._admin.describe_configs(resources) if names else ():
                configs |= {
                    name: {key: value for key, value, *_ in entries}
                    for error, _message, _kind, name, entries in response.resources
                    if not error  # this user may not read them
                }
        return {
            name: TopicFound(len(self._listed[name]), len(self._listed[name][0]["replicas"]), configs.get(name))
            for name in names
        }

    async def create_topics(
        self, configs: Mapping[str, Mapping[str, str]], *, partitions: int, replicas: int
    ) -> list[str]:
        """Create the topics that are missing, with their settings; return their names.

        Raises
        ------
        KafkaRequestError
            The cluster refuses one.
        """
        missing = [
            NewTopic(name, partitions, replicas, topic_configs=dict(settings))
            for name, settings in configs.items()
            if name not in self._listed
        ]
        async with request_deadline("create topics"):
            answer = await self._admin.create_topics(missing)
        for name, code, reason in answer.topic_errors:
            if (
                code and for_code(code) is not TopicAlreadyExistsError
            ):  # it exists: created meanwhile, or hidden from us
                raise KafkaRequestError(
                    f"topic {name!r} is refused by {self._where}: {reason or for_code(code).__name__}"
                )
        return [name for name, code, _ in answer.topic_errors if not code]

    async def committed_offsets(self, group: str) -> dict[TopicPartition, int]:
        """Return the committed offsets of a consumer group; empty if it has none."""
        async with request_deadline(f"read the offsets of group {group!r}"):
            return await retry(
                lambda: self._committed_offsets_once(group), on=_COORDINATOR_MOVED, pause_s=RETRY_PAUSE_S
            )

    async def describe_group(self, name: str) -> ConsumerGroup:
        """Describe a consumer group; one that does not exist is Dead and has no members."""
        async with request_deadline(f"read the members of group {name!r}"):
            try:
                return await retry(
                    lambda: self._describe_group_once(name), on=_COORDINATOR_MOVED, pause_s=RETRY_PAUSE_S
                )
            except GroupIdNotFound:
                return ConsumerGroup("Dead", [])

    async def _describe_group_once(self, name: str) -> ConsumerGroup:
        (answer,) = await self._admin.describe_consumer_groups([name])
        ((error, _, state, _, _, members, *_),) = answer.groups
        if error:
            raise for_code(error)(name)
        return ConsumerGroup(state, [_member(*member) for member in members])

    async def _committed_offsets_once(self, group: str) -> dict[TopicPartition, int]:
        # The client's own `list_consumer_group_offsets` ignores the error code of the whole response, so a group would
        # seem to have no offsets while its coordinator loads them.
        coordinator = await self._admin.find_coordinator(group)
        request = OffsetFetchRequest(group, None)
        response = await send_as_admin(self._admin, request, coordinator)
        partitions = [(topic, *found) for topic, some in response.topics for found in some]
        for code in (response.error_code, *(error_code for *_, error_code in partitions)):
            if code:
                raise for_code(code)(group)
        return {TopicPartition(topic, number): offset for topic, number, offset, *_ in partitions if offset >= 0}


@contextlib.asynccontextmanager
async def open_cluster(kafka: KafkaSettings, notify: Callable[[str], None]) -> AsyncIterator[ClusterAdmin]:
    """Connect and list all topics.

    All topics are listed, because a request that names a topic may create it.

    Raises
    ------
    KafkaRequestError
        Kafka cannot be reached.
    """
    await wait_for_brokers(kafka, notify)
    admin = AIOKafkaAdminClient(**kafka.client_options())
    async with running_client(kafka, admin, admin.close):
        async with request_deadline("read the list of topics"):
            topics: list[dict[str, Any]] = await admin.describe_topics()
        listed = {topic["topic"]: topic["partitions"] for topic in topics if not topic["is_internal"]}
        yield ClusterAdmin(admin, listed, kafka.bootstrap_servers)


def _member(member_id: str, client_id: str, host: str, _: bytes, assigned: bytes) -> GroupMember:
    """Read the description of a member; during a rebalance it has no partitions."""
    assignment = ConsumerProtocol.ASSIGNMENT.decode(assigned).assignment if assigned else []
    partitions = frozenset(TopicPartition(topic, number) for topic, numbers in assignment for number in numbers)
    return GroupMember(member_id, client_id, host.removeprefix("/"), partitions)
