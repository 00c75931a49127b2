"""The admin client of the service's start: it is opened once a broker answers, and reads topics and settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from transport.errors import FatalError, KafkaError, describe
from transport.internals import client_of, connections, newest_version
from transport.reachability import RefusedError, probe_brokers
from transport.retry import retry
from transport.settings.kafka import KafkaSettings
from transport.shutdown import STOP_TIMEOUT_S, stop_within

log = structlog.get_logger()

AdminClient: TypeAlias = AIOKafkaAdminClient
Answer = TypeVar("Answer")

RETRY_PAUSE_S: Final = 0.5
REQUEST_TIMEOUT_S: Final = 10.0
REQUEST_ATTEMPTS: Final = 5
"""Each attempt goes to a broker that the client chooses at random."""
END_TRANSACTION: Final = 26
"""Key of the request EndTxn."""
END_TRANSACTION_OF_KAFKA_4: Final = 5
"""The newest version of EndTxn since Kafka 4.0 (KIP-890)."""


def has_old_broker(admin: AdminClient) -> bool:
    """Return whether a broker lacks the transactions of Kafka 4.0: brokers name versions of requests, not their own."""
    return any(
        newest_version(connection, END_TRANSACTION) < END_TRANSACTION_OF_KAFKA_4
        for _, connection in connections(client_of(admin))
    )


@contextlib.asynccontextmanager
async def open_admin_client(kafka: KafkaSettings) -> AsyncIterator[tuple[AdminClient, dict[str, list[dict[str, Any]]]]]:
    """Open an admin client and list all topics with their partitions; retry until the time limit.

    A client that has connected to one broker may send its request to another one, which may be down.
    Forced by test_it_starts_although_one_of_the_brokers_is_down.
    """
    servers = kafka.bootstrap_servers
    deadline_s = asyncio.get_running_loop().time() + kafka.wait_s

    def report(error: Exception) -> None:
        log.warning(
            "no broker answers", servers=servers, why=describe(error), timeout_s=kafka.wait_s, action="retrying"
        )

    try:
        admin, topics = await retry(
            lambda: _connected(kafka, deadline_s),
            on=(KafkaError, OSError, TimeoutError),
            pause_s=RETRY_PAUSE_S,
            timeout_s=kafka.wait_s,
            on_first_failure=report,
        )
    except RefusedError as error:
        raise FatalError(str(error)) from error
    except (KafkaError, OSError, TimeoutError) as error:
        why = f"no broker has answered at {servers} for {kafka.wait_s:g} s (DIGITS_KAFKA__WAIT_S)"
        raise FatalError(f"{why}: {describe(error)}") from error
    try:
        yield admin, {topic["topic"]: topic["partitions"] for topic in topics}
    finally:
        await stop_within(admin.close, STOP_TIMEOUT_S)


async def _connected(kafka: KafkaSettings, deadline_s: float) -> tuple[AdminClient, list[dict[str, Any]]]:
    """Start an admin client, and list all topics with it."""
    admin = AIOKafkaAdminClient(**kafka.client_options())
    try:
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + REQUEST_TIMEOUT_S, deadline_s)):
            await probe_brokers(kafka)  # it finds out why brokers refuse us; the client does not
            await admin.start()
            # All topics are listed: a broker that creates topics by itself would create one asked for by its name.
            return admin, await admin.describe_topics()
    except BaseException:  # cancellation, too: the connections must not stay open
        await stop_within(admin.close, STOP_TIMEOUT_S)
        raise


async def ask_any_broker(request: Callable[[], Awaitable[Answer]]) -> Answer:
    """Send a request that any broker can answer, up to `REQUEST_ATTEMPTS` times, and return the first answer.

    Forced by test_it_starts_although_one_of_the_brokers_is_down.

    Raises
    ------
    KafkaError, TimeoutError
        Of the last attempt.
    """

    async def attempt() -> Answer:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return await request()

    return await retry(attempt, on=(KafkaError, TimeoutError), pause_s=RETRY_PAUSE_S, attempts=REQUEST_ATTEMPTS)


async def topic_configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Return topic settings by topic; settings that we may not read are left out, with a warning."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        answers = await ask_any_broker(lambda: admin.describe_configs(resources))
    except (KafkaError, TimeoutError) as error:
        log.warning("topic settings not read", why=describe(error), action="not checked")
        return {}
    configs = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                log.warning("topic settings not read", topic=name, why=message or code, action="not checked")
            else:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs
