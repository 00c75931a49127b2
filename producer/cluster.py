"""A look around the cluster before anything is sent or read: topics, their limits, group offsets."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from contract.settings import KafkaSettings
from contract.topics import TopicSettings
from producer.clients import meet, opened, within
from producer.errors import KafkaProblem

UNLIMITED_BYTES: Final = 100 * 1024 * 1024
"""What a broker takes in one request by default (socket.request.max.bytes): no record is larger."""
RETRY_PAUSE_S: Final = 0.1

_COORDINATOR_MOVES: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    NodeNotReadyError,
    RequestTimedOutError,
    KafkaConnectionError,
)
"""Another broker takes the group's offsets over, or is about to have loaded them: it is over in seconds."""


class Cluster:
    """What is there. Owner: whoever opened it with `look_around`."""

    def __init__(self, admin: AIOKafkaAdminClient, counts: Mapping[str, int], where: str) -> None:
        self._admin = admin
        self._counts = counts
        self._where = where

    def partitions(self, topics: TopicSettings, role: str) -> list[TopicPartition]:
        """Return the partitions of the topic in a role: a field of `TopicSettings`.

        Raises
        ------
        KafkaProblem
            There is no such topic.
        """
        name = getattr(topics, role)
        if name not in self._counts:
            near = difflib.get_close_matches(name, self._counts, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self._counts)) or 'none'}"
            variable = f"DIGITS_TOPICS__{role.upper()}"
            raise KafkaProblem(
                f"there is no topic {name!r} ({variable}) at {self._where} that this user may see (ACL); {hint}"
            )
        return [TopicPartition(name, number) for number in range(self._counts[name])]

    async def max_message_bytes(self, topic: str) -> int | None:
        """Return the largest record batch the topic takes, None if this user may not know."""
        name = "max.message.bytes"
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: ""})
        async with within(f"read the settings of topic {topic!r}"):
            responses = await self._admin.describe_configs([resource])
        for response in responses:
            for _error, _message, _kind, _topic, entries in response.resources:
                for key, value, *_ in entries:  # no entries without the right to read them
                    if key == name:
                        return int(value)
        return None

    async def create_topics(
        self, configs: Mapping[str, Mapping[str, str]], *, partitions: int, replicas: int
    ) -> list[str]:
        """Create the topics that are missing, with their settings; return their names.

        Raises
        ------
        KafkaProblem
            The cluster refuses one.
        """
        missing = [
            NewTopic(name, partitions, replicas, topic_configs=dict(settings))
            for name, settings in configs.items()
            if name not in self._counts
        ]
        async with within("create topics"):
            answer = await self._admin.create_topics(missing)
        for name, code, reason in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:  # it exists: made meanwhile, or not to be seen
                raise KafkaProblem(f"topic {name!r} is refused by {self._where}: {reason or for_code(code).__name__}")
        return [name for name, code, _ in answer.topic_errors if not code]

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return the offsets a consumer group has committed; empty if the group has none."""
        async with within(f"read the offsets of group {group!r}"):
            while True:
                try:
                    return await self._committed_now(group)
                except _COORDINATOR_MOVES:
                    await asyncio.sleep(RETRY_PAUSE_S)

    async def _committed_now(self, group: str) -> dict[TopicPartition, int]:
        # Not the client's own `list_consumer_group_offsets`: it passes over the error of the group as a whole,
        # and while a coordinator loads its offsets, a group would seem to have none.
        coordinator = await self._admin.find_coordinator(group)
        request = OffsetFetchRequest(group, None)
        response = await self._admin._send_request(request, coordinator)  # noqa: SLF001  # see above
        partitions = [(topic, *found) for topic, some in response.topics for found in some]
        for code in (response.error_code, *(error_code for *_, error_code in partitions)):
            if code:
                raise for_code(code)(group)
        return {TopicPartition(topic, number): offset for topic, number, offset, *_ in partitions if offset >= 0}


@contextlib.asynccontextmanager
async def look_around(kafka: KafkaSettings) -> AsyncIterator[Cluster]:
    """Connect and read the list of all topics.

    All, since asking for a topic by its name creates it on a broker that is set to do so.

    Raises
    ------
    KafkaProblem
        Kafka cannot be reached.
    """
    await meet(kafka)
    admin = AIOKafkaAdminClient(**kafka.client_options())
    async with opened(kafka, admin, admin.close):
        async with within("read the list of topics"):
            topics: list[dict[str, Any]] = await admin.describe_topics()
        counts = {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["is_internal"]}
        yield Cluster(admin, counts, kafka.bootstrap_servers)
