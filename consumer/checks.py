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
from consumer.rights import check_rights, check_sight, unread_results
from consumer.settings import Settings
from contract.contact import RefusedError, meet_brokers
from contract.topics import BROKER_DEFAULTS, TopicFound, misfits

log = structlog.get_logger()

RETRY_PAUSE_S: Final = 0.5
REQUEST_TIMEOUT_S: Final = 10.0
END_TRANSACTION: Final = 26
"""Key of the request EndTxn."""
END_TRANSACTION_OF_KAFKA_4: Final = 5
"""Its newest version since Kafka 4.0 (KIP-890)."""
UNREAD_RESULTS: Final = (
    "a partition in which the group has no offset, but results, will not start (DIGITS_KAFKA__AUTO_OFFSET_RESET)"
)
OLD_BROKER: Final = "exactly once is only tested with, and claimed for, 4.0 on"


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
    topics = settings.topics
    async with reached(settings) as (admin, listed):
        if is_old_broker(admin):
            log.warning("broker is older than Kafka 4.0", then=OLD_BROKER)
        found = await found_topics(admin, settings, listed)
        await check_rights(admin, settings)
        if why := await unread_results(admin, settings):
            log.warning("results may not be read", why=why, then=UNREAD_RESULTS)
    for misfit in misfits(topics, found, record_bytes=settings.limits.record_bytes):
        log.warning(
            "topic does not fit",
            topic=misfit.topic,
            setting=misfit.setting,
            found=misfit.found,
            wanted=misfit.wanted,
            then=misfit.otherwise,
        )
    return int((found[topics.dead_letter].config or {}).get("max.message.bytes", BROKER_DEFAULTS["max.message.bytes"]))


async def found_topics(
    admin: AIOKafkaAdminClient, settings: Settings, listed: Mapping[str, list[dict[str, Any]]]
) -> dict[str, TopicFound]:
    """Describe our three topics.

    Parameters
    ----------
    admin, settings
        Where, and which.
    listed
        The partitions of all topics that may be seen, by name.

    Raises
    ------
    Fatal
        One is missing, or may not be seen.
    """
    names = list(settings.topics.by_role.values())
    missing = [name for name in names if name not in listed]
    if missing:
        await check_sight(admin, settings, missing)
        raise Fatal(f"no topic {', '.join(missing)} on {settings.kafka.bootstrap_servers}; topics are not created here")
    configs = await _configs(admin, names)
    return {name: TopicFound(len(listed[name]), len(listed[name][0]["replicas"]), configs.get(name)) for name in names}


def is_old_broker(admin: AIOKafkaAdminClient) -> bool:
    """Say whether a broker does not know the transactions of Kafka 4.0; it names versions of requests, not its own."""
    return any(
        connection._versions.get(END_TRANSACTION, (0, 0))[1] < END_TRANSACTION_OF_KAFKA_4  # noqa: SLF001  # as below
        for connection in admin._client._conns.values()  # noqa: SLF001  # nothing public says what a broker can do
    )


@contextlib.asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[tuple[AIOKafkaAdminClient, dict[str, list[dict[str, Any]]]]]:
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
