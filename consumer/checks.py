"""Start-up checks: whether there is a broker, the topics exist, and their settings fit.

What would lose records or cannot work stops the start in one line; what merely does not fit is a warning.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from consumer.errors import Fatal, describe
from consumer.questions import ask
from consumer.rights import check_rights, check_sight, warn_of_unread_results
from consumer.settings import Settings
from consumer.transactions import BATCH_BYTES
from contract.contact import RefusedError, meet_brokers
from contract.topics import DEAD_LETTER_OVERHEAD_BYTES

log = structlog.get_logger()

RETRY_PAUSE_S: Final = 0.5
REQUEST_TIMEOUT_S: Final = 10.0
BATCH_OVERHEAD_BYTES: Final = 1024
END_TRANSACTION: Final = 26
"""Key of the request EndTxn."""
END_TRANSACTION_OF_KAFKA_4: Final = 5
"""Its newest version since Kafka 4.0 (KIP-890)."""
BROKER_DEFAULT_RECORD_BYTES: Final = 1_048_588
"""Kafka's default of max.message.bytes, assumed where it may not be read."""


async def check_cluster(settings: Settings) -> int:
    """Wait for the brokers and look at the topics.

    Returns
    -------
    dead_letter_bytes
        The largest record that the dead-letter topic takes.

    Raises
    ------
    Fatal
        No broker answered in time, one refused us, or a topic or a right is missing.
    """
    async with _reached(settings) as (admin, found):
        for connection in admin._client._conns.values():  # noqa: SLF001  # nothing public tells what a broker can do
            _warn_of_old_broker(connection._versions)  # noqa: SLF001  # as above
        topics = settings.topics
        missing = [name for name in (topics.requests, topics.predictions, topics.dead_letter) if name not in found]
        if missing:
            await check_sight(admin, settings, missing)
            raise Fatal(
                f"no topic {', '.join(missing)} on {settings.kafka.bootstrap_servers}; topics are not created here"
            )
        for name in (topics.predictions, topics.dead_letter):
            if len(found[name]) != len(found[topics.requests]):
                log.warning(
                    "partition counts differ",
                    requests=len(found[topics.requests]),
                    **{name.replace(".", "_"): len(found[name])},
                    then="results go to the partition of the request modulo the count",
                )
        await check_rights(admin, settings)
        await warn_of_unread_results(admin, settings)
        configs = await _configs(admin, list(found.keys() & {topics.requests, topics.predictions, topics.dead_letter}))
    for name, config in configs.items():
        _warn_of_misfits(name, config, replicas=len(found[name][0]["replicas"]), settings=settings)
    limit = configs.get(topics.dead_letter, {}).get("max.message.bytes")
    return int(limit) if limit else BROKER_DEFAULT_RECORD_BYTES


@contextlib.asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[tuple[AIOKafkaAdminClient, dict[str, list[dict[str, Any]]]]]:
    """Keep trying until a broker tells all topics with their partitions, or the time is over.

    A client that has started has met one broker, and may well ask another one, which is down.
    Forced by test_a_broker_that_is_down_at_the_start_does_not_keep_it_from_starting.
    """
    servers = settings.kafka.bootstrap_servers
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + settings.kafka.wait_s
    told = False
    while True:
        admin = AIOKafkaAdminClient(**settings.kafka.client_options())
        try:
            async with asyncio.timeout_at(min(clock() + REQUEST_TIMEOUT_S, deadline_s)):
                await meet_brokers(settings.kafka)  # which says why they refuse us; the client would not
                await admin.start()
                # All are listed: asking for one by name would create it on a broker that creates topics by itself.
                topics = await admin.describe_topics()
        except RefusedError as error:
            await admin.close()
            raise Fatal(str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            await admin.close()
            if clock() + RETRY_PAUSE_S > deadline_s:
                why = f"no broker has answered at {servers} for {settings.kafka.wait_s:g} s (DIGITS_KAFKA__WAIT_S)"
                raise Fatal(f"{why}: {describe(error)}") from error
            if not told:
                log.warning(
                    "no broker answers",
                    servers=servers,
                    why=describe(error),
                    then=f"trying for {settings.kafka.wait_s:g} s",
                )
                told = True
            await asyncio.sleep(RETRY_PAUSE_S)
        else:
            try:
                yield admin, {topic["topic"]: topic["partitions"] for topic in topics}
            finally:
                await admin.close()
            return


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Topic settings by topic; those that may not be read are left out, with a warning."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        answers = await ask(lambda: admin.describe_configs(resources))
    except (KafkaError, TimeoutError) as error:
        log.warning("topic settings not read", why=describe(error), then="their fit is not checked")
        return {}
    configs = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                log.warning("topic settings not read", topic=name, why=message or code, then="their fit is not checked")
            else:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


def _warn_of_old_broker(versions: Mapping[int, tuple[int, int]]) -> None:
    """Warn unless a broker knows the transactions of Kafka 4.0; it tells versions of requests, but not its own."""
    if versions.get(END_TRANSACTION, (0, 0))[1] < END_TRANSACTION_OF_KAFKA_4:
        log.warning("broker is older than Kafka 4.0", then="exactly once is only tested with, and claimed for, 4.0 on")


def _warn_of_misfits(name: str, config: dict[str, str], *, replicas: int, settings: Settings) -> None:
    topics = settings.topics
    record_bytes = settings.limits.record_bytes
    max_message_bytes = int(config.get("max.message.bytes", BROKER_DEFAULT_RECORD_BYTES))
    if "compact" in config.get("cleanup.policy", ""):
        log.warning("topic is compacted", topic=name, then="records of equal keys disappear; set cleanup.policy=delete")
    if replicas >= 3 and int(config.get("min.insync.replicas", 1)) < 2:  # noqa: PLR2004  # the usual three and two
        log.warning(
            "min.insync.replicas is 1", topic=name, then="one broker's disk may lose what was acknowledged; set 2"
        )
    if name == topics.requests and config.get("compression.type") != "uncompressed":
        log.warning(
            "requests topic takes compressed batches",
            topic=name,
            then="the client inflates them without a limit; set compression.type=uncompressed",
        )
    if name != topics.requests and max_message_bytes < BATCH_BYTES + BATCH_OVERHEAD_BYTES:
        log.warning(
            "topic takes less than a batch of results",
            topic=name,
            max_message_bytes=max_message_bytes,
            then=f"under load it would refuse them, and the service end; set at least {BATCH_BYTES * 2}",
        )
    if name == topics.dead_letter and max_message_bytes < record_bytes + DEAD_LETTER_OVERHEAD_BYTES:
        log.warning(
            "dead-letter topic takes less than a request may have",
            topic=name,
            max_message_bytes=max_message_bytes,
            then="larger dead letters go without their bytes",
        )
