"""The boundary to Kafka: clients that open and close in bounded time, and their errors as one line each.

Every wait for Kafka stands inside `within`: aiokafka retries without limit where it could give up,
and its `stop` may hang. What it raises leaves this module only as `KafkaProblem`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from contract.settings import KafkaSettings
from producer.errors import KafkaProblem

CONNECT_S: Final = 15.0
"""How long reaching the brokers may take."""
ANSWER_S: Final = 30.0
"""How long one step may take: a leader that moves is found again well within it."""
STOP_S: Final = 5.0
"""How long saying goodbye may take; the process ends all the same."""
BATCH_BYTES: Final = 256 * 1024
LINGER_MS: Final = 5

_REFUSALS: Final[Mapping[type[KafkaError], str]] = {
    TopicAuthorizationFailedError: "this user may not do that with the topic (ACL)",
    GroupAuthorizationFailedError: "this user may not do that with the consumer group (ACL)",
    TransactionalIdAuthorizationFailed: "this user may not use the transactional id (ACL)",
    MessageSizeTooLargeError: "the record is larger than the topic's max.message.bytes",
    ProducerFenced: "another with this transactional id took over, or the transaction took too long",
}


@contextlib.asynccontextmanager
async def within(doing: str, seconds: float = ANSWER_S) -> AsyncIterator[None]:
    """Give the body a deadline; `doing` completes the sentence "cannot …".

    Raises
    ------
    KafkaProblem
        The deadline has passed, or aiokafka raised.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise KafkaProblem(f"cannot {doing}: no answer within {seconds:g} s") from error
    except KafkaError as error:
        raise KafkaProblem(f"cannot {doing}: {_explain(error)}") from error


@contextlib.asynccontextmanager
async def opened(kafka: KafkaSettings, client: Any, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Start an aiokafka client for the body, and stop it whatever happens."""
    try:
        where = f"{kafka.bootstrap_servers} (DIGITS_KAFKA__BOOTSTRAP_SERVERS)"
        async with within(f"reach Kafka at {where}", CONNECT_S):
            await client.start()
        yield
    finally:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(STOP_S):
                await stop()


@contextlib.asynccontextmanager
async def open_producer(
    kafka: KafkaSettings, *, max_request_bytes: int, **options: Any
) -> AsyncIterator[AIOKafkaProducer]:
    """Open an idempotent producer; `options` as aiokafka has them, such as `transactional_id`."""
    client = AIOKafkaProducer(
        **kafka.client_options(),
        enable_idempotence=True,
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=max_request_bytes,
        **options,
    )
    async with opened(kafka, client, client.stop):
        yield client


@contextlib.asynccontextmanager
async def open_reader(
    kafka: KafkaSettings, *, isolation_level: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer outside any group; `start_at` says where it reads."""
    client = AIOKafkaConsumer(
        **kafka.client_options(),
        isolation_level=isolation_level,
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
    )
    async with opened(kafka, client, client.stop):
        yield client


def start_at(reader: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    """Read these partitions from these offsets on."""
    # One step without an await: a partition never has to ask where to start.
    reader.assign(list(positions))
    for partition, offset in positions.items():
        reader.seek(partition, offset)


def _explain(error: KafkaError) -> str:
    if isinstance(error, KafkaConnectionError):
        return "no broker answers there"
    for kind, words in _REFUSALS.items():
        if isinstance(error, kind):
            return words
    return f"{type(error).__name__}: {error}"
