"""The admin client: opened when a broker answers, and what is asked of it at the start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, TypeAlias

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from transport.admin.reachability import RefusedError, probe_brokers
from transport.admin.retry import ask
from transport.errors import FatalError, KafkaError, describe
from transport.internals import client_of, connections, newest_version
from transport.settings.kafka import KafkaSettings

log = structlog.get_logger()

AdminClient: TypeAlias = AIOKafkaAdminClient

RETRY_PAUSE_S: Final = 0.5
REQUEST_TIMEOUT_S: Final = 10.0
END_TRANSACTION: Final = 26
"""Key of the request EndTxn."""
END_TRANSACTION_OF_KAFKA_4: Final = 5
"""Its newest version since Kafka 4.0 (KIP-890)."""


def has_old_broker(admin: AdminClient) -> bool:
    """Say whether a broker does not know the transactions of Kafka 4.0; it names versions of requests, not its own."""
    return any(
        newest_version(connection, END_TRANSACTION) < END_TRANSACTION_OF_KAFKA_4
        for _, connection in connections(client_of(admin))
    )


@contextlib.asynccontextmanager
async def open_admin_client(kafka: KafkaSettings) -> AsyncIterator[tuple[AdminClient, dict[str, list[dict[str, Any]]]]]:
    """Keep trying until a broker tells all topics with their partitions, or the time is over.

    A client that has started has met one broker, and may well ask another one, which is down.
    Forced by test_it_starts_although_one_of_the_brokers_is_down.
    """
    servers = kafka.bootstrap_servers
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + kafka.wait_s
    told = False
    while True:
        admin = AIOKafkaAdminClient(**kafka.client_options())
        try:
            async with asyncio.timeout_at(min(clock() + REQUEST_TIMEOUT_S, deadline_s)):
                await probe_brokers(kafka)  # which says why they refuse us; the client would not
                await admin.start()
                # All are listed: asking for one by name would create it on a broker that creates topics by itself.
                topics = await admin.describe_topics()
        except RefusedError as error:
            await admin.close()
            raise FatalError(str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            await admin.close()
            if clock() + RETRY_PAUSE_S > deadline_s:
                why = f"no broker has answered at {servers} for {kafka.wait_s:g} s (DIGITS_KAFKA__WAIT_S)"
                raise FatalError(f"{why}: {describe(error)}") from error
            if not told:
                log.warning(
                    "no broker answers",
                    servers=servers,
                    why=describe(error),
                    action=f"trying for {kafka.wait_s:g} s",
                )
                told = True
            await asyncio.sleep(RETRY_PAUSE_S)
        else:
            try:
                yield admin, {topic["topic"]: topic["partitions"] for topic in topics}
            finally:
                await admin.close()
            return


async def topic_configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Topic settings by topic; those that may not be read are left out, with a warning."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        answers = await ask(lambda: admin.describe_configs(resources))
    except (KafkaError, TimeoutError) as error:
        log.warning("topic settings not read", why=describe(error), action="their fit is not checked")
        return {}
    configs = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                log.warning(
                    "topic settings not read", topic=name, why=message or code, action="their fit is not checked"
                )
            else:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs
