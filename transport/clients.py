"""Kafka clients for commands: they start and stop in bounded time, and report each error in one line.

Every wait for Kafka is inside `request_deadline`, because aiokafka retries without a limit and its `stop` may hang.
Errors of aiokafka leave `request_deadline` only as `KafkaRequestError`.
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

from transport.errors import KafkaRequestError
from transport.internals import EndUnknownError, ask_once_for_ends, check_client
from transport.reachability import (
    AdvertisedAddressError,
    NoTokenError,
    RefusedError,
    UnreachableError,
    probe_brokers,
)
from transport.record_batch import install_batch_parser
from transport.retry import retry
from transport.settings.kafka import KafkaSettings
from transport.shutdown import stop_within

CONNECT_TIMEOUT_S: Final = 15.0
"""The time limit for connecting to the brokers."""
RECONNECT_PAUSE_S: Final = 0.5
"""The pause between attempts to reach a broker that is starting."""
REQUEST_TIMEOUT_S: Final = 30.0
"""The time limit of one step. A new leader of a partition is found in less time."""
STOP_TIMEOUT_S: Final = 5.0
"""The time limit for closing a client; after it the process ends without waiting."""
BATCH_BYTES: Final = 256 * 1024
LINGER_MS: Final = 5

_KNOWN_ERRORS: Final[Mapping[type[KafkaError], str]] = {
    TopicAuthorizationFailedError: "this user may not do that with topic {} (ACL)",
    GroupAuthorizationFailedError: "this user may not do that with group {} (ACL)",
    TransactionalIdAuthorizationFailed: "this user may not use transactional id {} (ACL)",
    MessageSizeTooLargeError: "the record is larger than the topic's max.message.bytes",
    EndUnknownError: "no answer has come to the end of the transaction, which may be committed",
    ProducerFenced: "another producer with this transactional id took over, or the transaction took too long",
}


@contextlib.asynccontextmanager
async def request_deadline(doing: str, seconds: float = REQUEST_TIMEOUT_S) -> AsyncIterator[None]:
    """Give the body a deadline; `doing` completes the sentence "cannot …".

    Raises
    ------
    KafkaRequestError
        The deadline has passed, aiokafka raised an error, or a broker refuses us.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise KafkaRequestError(f"cannot {doing}: no answer within {seconds:g} s") from error
    except KafkaError as error:
        raise KafkaRequestError(f"cannot {doing}: {_explain(error)}") from error
    except RefusedError as error:
        raise KafkaRequestError(f"cannot {doing}: {error}") from error


async def wait_for_brokers(kafka: KafkaSettings, notify: Callable[[str], None]) -> None:
    """Wait until a broker answers and accepts us; a client by itself would retry without saying why.

    The wait for a broker that does not answer lasts up to `KafkaSettings.wait_s`. A broker that refuses us ends it
    at once.

    Parameters
    ----------
    kafka
        The brokers, and how long to wait for them.
    notify
        Is called once with a sentence, when the wait begins.
    """
    waiting = f"cannot reach Kafka at {kafka.bootstrap_servers} yet: waiting up to {kafka.wait_s:g} s"
    async with request_deadline(f"reach Kafka at {_address(kafka)}", kafka.wait_s + CONNECT_TIMEOUT_S):
        await retry(
            lambda: probe_brokers(kafka),
            on=UnreachableError,
            pause_s=RECONNECT_PAUSE_S,
            timeout_s=kafka.wait_s,
            on_first_failure=lambda _: notify(waiting),
        )


@contextlib.asynccontextmanager
async def running_client(kafka: KafkaSettings, client: Any, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Start an aiokafka client for the body, and stop it even if the body fails."""
    try:
        async with request_deadline(f"reach Kafka at {_address(kafka)}", CONNECT_TIMEOUT_S):
            await client.start()
        yield
    finally:
        await stop_within(stop, STOP_TIMEOUT_S)


@contextlib.asynccontextmanager
async def open_producer(
    kafka: KafkaSettings, *, max_request_bytes: int, linger_ms: int = LINGER_MS, **options: Any
) -> AsyncIterator[AIOKafkaProducer]:
    """Open an idempotent producer; `options` are those of aiokafka, such as `transactional_id`.

    With `linger_ms` 0 nothing waits for a batch to grow: what comes while a request is under way is in the next one.

    If no answer comes to the end of a transaction, the producer can do nothing more: its successor decides the outcome.
    """
    check_client()
    client = AIOKafkaProducer(
        **kafka.client_options(),
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        max_batch_size=BATCH_BYTES,
        max_request_size=max_request_bytes,
        **options,
    )
    ask_once_for_ends(client)
    async with running_client(kafka, client, client.stop):
        yield client


@contextlib.asynccontextmanager
async def open_reader(
    kafka: KafkaSettings, *, isolation_level: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that is in no group; `assign_at` sets its partitions and positions."""
    check_client()
    install_batch_parser()
    client = AIOKafkaConsumer(
        **kafka.client_options(),
        isolation_level=isolation_level,
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
    )
    async with running_client(kafka, client, client.stop):
        yield client


def assign_at(reader: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    """Assign these partitions to a consumer, and start to read each at its offset."""
    # There is no await between the two steps, so the client never looks up a position by itself.
    reader.assign(list(positions))
    for partition, offset in positions.items():
        reader.seek(partition, offset)


def _address(kafka: KafkaSettings) -> str:
    return f"{kafka.bootstrap_servers} (DIGITS_KAFKA__BOOTSTRAP_SERVERS)"


def _resource_names(error: KafkaError) -> str:
    """Return what an error is about: the client gives one name, or several."""
    what = error.args[0] if error.args else ""
    return what if isinstance(what, str) else ", ".join(sorted(what))


def _explain(error: KafkaError) -> str:
    if isinstance(error, AdvertisedAddressError | NoTokenError):
        return str(error)
    if isinstance(error, KafkaConnectionError):
        return "no broker answers there"
    for kind, words in _KNOWN_ERRORS.items():
        if isinstance(error, kind):
            return words.format(_resource_names(error))
    return f"{type(error).__name__}: {error}"
