"""Topics of which one partition of the predictions cannot be written to once broker 3 of three is dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from broker import Cluster
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

UNWRITABLE: Final = 0
"""The partition."""
LACKS: Final[Mapping[str, Sequence[int]]] = MappingProxyType({"leader": (3,), "replicas": (1, 3)})
"""By what the partition then lacks: the brokers with its replicas. All of them must be in sync."""


def replicas_elsewhere(replicas: Sequence[int]) -> list[int]:
    """Return as many brokers that stay alive: all partitions of a topic have the same number of replicas."""
    return [1, 2][: len(replicas)]


@dataclass(frozen=True)
class Placed:
    """A cluster of three that creates such topics."""

    cluster: Cluster
    replicas: Sequence[int]
    """Of the one partition."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return self.cluster.bootstrap_servers

    @property
    def client_options(self) -> dict[str, Any]:
        """How an aiokafka client reaches it."""
        return self.cluster.client_options

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], *, partitions: int = 8) -> None:
        """Create topics, of which those named as predictions have the one partition."""
        admin = AIOKafkaAdminClient(**self.client_options)
        await admin.start()
        try:
            for name, config in configs.items():
                placed = dict.fromkeys(range(partitions), replicas_elsewhere(self.replicas))
                least = {"min.insync.replicas": "1"}
                if name.startswith("predictions"):
                    placed[UNWRITABLE] = list(self.replicas)
                    least = {"min.insync.replicas": str(len(self.replicas))}
                topic = NewTopic(name, -1, -1, replica_assignments=placed, topic_configs=dict(config) | least)
                answer = await admin.create_topics([topic])
                assert [code for _, code, _ in answer.topic_errors] == [0]
            await eventually(admin.list_topics, lambda names: set(configs) <= set(names))
        finally:
            await admin.close()


async def without_broker_3(broker: Broker, replicas: Sequence[int]) -> None:
    """Wait until the brokers know that the partition has lost its replica on broker 3."""

    async def in_sync() -> list[int]:
        try:
            topics = await broker.admin.describe_topics()
        except KafkaError as error:  # it has asked the broker that has died
            raise AssertionError(str(error)) from error
        (topic,) = [each for each in topics if each["topic"] == broker.topics.predictions]
        (found,) = [each for each in topic["partitions"] if each["partition"] == UNWRITABLE]
        return [found["leader"], *sorted(found["isr"])]

    left = [each for each in replicas if each != 3]
    await eventually(in_sync, lambda seen: seen == [left[0], *left] if left else seen[0] == -1)
