"""Plays the service: writes results, dead letters and offsets as the contract says, or with one planted fault.

It is for tests of programs that read them. A test plants a fault between `answer` and `publish`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from contract import headers
from contract.errors import ErrorCode
from contract.records import request_id, result_id
from contract.schema import EXAMPLES
from tests.harness.topics import Broker


@dataclass
class Outgoing:
    """A record that is about to be published."""

    topic: str
    partition: int
    key: bytes | None
    value: Any
    """Bytes, None, or what becomes JSON."""
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None = None
    """When it claims to be written; None: when it is."""

    def copy(self) -> Outgoing:
        return copy.deepcopy(self)


@dataclass
class Answer:
    """Everything that the service publishes for one request."""

    results: list[Outgoing]
    dead_letters: list[Outgoing]


def answer(
    broker: Broker, request: ConsumerRecord, statuses: Sequence[str] = ("recognised",), names: Sequence[str] = ()
) -> Answer:
    """Answer a request with one item for each status; failed ones are dead letters, too."""
    results, dead_letters = [], []
    for index, status in enumerate(statuses):
        result = _result(request, index, len(statuses), status, names[index] if names else None)
        echo = [header for header in request.headers if header[0] in headers.ECHOED]
        results.append(Outgoing(broker.topics.predictions, request.partition, request.key, result, echo))
        if status == "failed":
            block = _block(request, result)
            value = request.value if len(statuses) == 1 else f"entry {index}".encode()
            outgoing = [*request.headers, *block]
            dead_letters.append(Outgoing(broker.topics.dead_letter, request.partition, request.key, value, outgoing))
    return Answer(results, dead_letters)


async def publish(
    broker: Broker,
    records: Iterable[Outgoing],
    *,
    committed: Mapping[int, int] | None = None,
    abort: bool = False,
) -> None:
    """Write records, and the group's offsets by partition, in one transaction."""
    async with open_transaction(broker, records, committed=committed) as producer:
        await (producer.abort_transaction() if abort else producer.commit_transaction())


@contextlib.asynccontextmanager
async def open_transaction(
    broker: Broker,
    records: Iterable[Outgoing],
    *,
    committed: Mapping[int, int] | None = None,
    transactional_id: str | None = None,
) -> AsyncIterator[AIOKafkaProducer]:
    """Write the same, and leave the transaction open: to the caller, or to a client that fences the producer."""
    producer = AIOKafkaProducer(
        **broker.cluster.client_options,
        transactional_id=transactional_id or f"played-{uuid.uuid4().hex[:8]}",
        max_request_size=32 * 1024 * 1024,
    )
    async with producer:
        await producer.begin_transaction()
        for record in records:
            value = record.value if record.value is None or isinstance(record.value, bytes) else _json(record.value)
            about = {"key": record.key, "headers": record.headers, "timestamp_ms": record.timestamp_ms}
            await producer.send(record.topic, value, partition=record.partition, **about)
        if committed:
            offsets = {TopicPartition(broker.topics.requests, each): at for each, at in committed.items()}
            await producer.send_offsets_to_transaction(offsets, broker.group_id)
        await producer.flush()
        yield producer


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _result(request: ConsumerRecord, index: int, count: int, status: str, name: str | None) -> dict[str, Any]:
    own = dict(request.headers)
    return {
        **copy.deepcopy(EXAMPLES[status]),
        "result_id": result_id(request.topic, request.partition, request.offset, index),
        "request_id": _text(own.get(headers.REQUEST_ID))
        or request_id(request.topic, request.partition, request.offset),
        "source": {
            "topic": request.topic,
            "partition": request.partition,
            "offset": request.offset,
            "timestamp_ms": request.timestamp,
        },
        "item": {"index": index, "count": count, "name": name or _text(own.get(headers.FILENAME))},
    }


def _block(request: ConsumerRecord, result: dict[str, Any]) -> list[tuple[str, bytes]]:
    block = {
        headers.ORIGIN_TOPIC: request.topic,
        headers.ORIGIN_PARTITION: request.partition,
        headers.ORIGIN_OFFSET: request.offset,
        headers.ORIGIN_TIMESTAMP_MS: request.timestamp,
        headers.ITEM_INDEX: result["item"]["index"],
        headers.ITEM_COUNT: result["item"]["count"],
        headers.ITEM_NAME: result["item"]["name"],
        headers.RESULT_ID: result["result_id"],
        headers.REQUEST_ID: result["request_id"],
        headers.ERROR_CODE: result["error"]["code"],
        headers.ERROR_MESSAGE: ErrorCode(result["error"]["code"]).sentence,
        headers.ATTEMPT: _text(dict(request.headers).get(headers.ATTEMPT)) or "1",
    }
    return [(name, str(value).encode()) for name, value in block.items() if value is not None]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
