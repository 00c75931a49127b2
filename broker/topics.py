"""Creates topics with their settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from broker.errors import BrokerError

READY_DEADLINE_S: Final = 30.0


async def create_topics(
    client_options: Mapping[str, Any], configs: Mapping[str, Mapping[str, str]], *, partitions: int, replicas: int
) -> None:
    """Create topics and return once every partition has a leader; topics that exist do not change.

    Parameters
    ----------
    client_options
        The options by which an aiokafka client reaches the cluster.
    configs
        Topic-level settings by topic name.
    partitions, replicas
        The numbers for each topic.

    Raises
    ------
    BrokerError
        The broker refuses a topic, or a partition has no leader after `READY_DEADLINE_S`.
    """
    admin = AIOKafkaAdminClient(**client_options)
    try:
        await admin.start()
        topics = [NewTopic(name, partitions, replicas, topic_configs=dict(each)) for name, each in configs.items()]
        answer = await admin.create_topics(topics)
        for name, code, reason in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise BrokerError(f"the broker refuses topic {name}: {reason}")
        async with asyncio.timeout(READY_DEADLINE_S):
            while not await _all_led(admin, set(configs)):  # noqa: ASYNC110  # Kafka sends no event for it
                await asyncio.sleep(0.02)
    except (KafkaError, TimeoutError) as error:
        raise BrokerError(f"cannot create topics on {client_options['bootstrap_servers']}: {error!r}") from error
    finally:
        await admin.close()


async def _all_led(admin: AIOKafkaAdminClient, names: set[str]) -> bool:
    topics = [topic for topic in await admin.describe_topics() if topic["topic"] in names]
    leaders = [partition["leader"] for topic in topics for partition in topic["partitions"]]
    return len(topics) == len(names) and all(leader >= 0 for leader in leaders)
