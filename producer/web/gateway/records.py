"""The records of the gateway: a request that is to be sent, and the answer in a record of the predictions topic."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord

from contract import headers
from producer.web.gateway.ids import WireId, parse_wire_id
from producer.web.gateway.interface import Answer, NewRequest, Position
from transport.record_batch import Unreadable


@dataclass(frozen=True, slots=True)
class Sendable:
    """A request as a record. Owner: the call that submits it."""

    wire_id: WireId
    partition: int
    timestamp_ms: int
    payload: bytes = field(repr=False)
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Location:
    """Where the record of a request is, and its timestamp."""

    position: Position
    timestamp_ms: int


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Item(msgspec.Struct):
    index: int
    count: int


class _Place(msgspec.Struct):
    """The part of a result that says which image of which request it is about."""

    source: _Source
    item: _Item


_PLACES: Final = msgspec.json.Decoder(_Place)


def sendable(request: NewRequest, wire_id: WireId, partition: int, timestamp_ms: int) -> Sendable:
    """Make the record of a request."""
    optional = (
        (headers.CONTENT_TYPE, request.content_type),
        (headers.FILENAME, request.filename),
        (headers.TRACEPARENT, request.traceparent),
        (headers.CORRELATION_ID, request.correlation_id),
    )
    record_headers = [(headers.REQUEST_ID, str(wire_id).encode())]
    record_headers += [(name, value.encode(errors="replace")) for name, value in optional if value is not None]
    if request.seen:
        record_headers.append((headers.SEEN, headers.SEEN_ASKED))
    return Sendable(wire_id, partition, timestamp_ms, request.payload, record_headers)


def wire_id_of(record: ConsumerRecord | Unreadable) -> WireId | None:
    """Return the id in a request's or a result's headers; None if it is not one of a gateway's.

    The value is not looked at, so the results of others cost little.
    """
    if isinstance(record, Unreadable):
        return None
    found = None
    for name, value in record.headers:
        if name == headers.REQUEST_ID:
            found = value  # the last one counts
    return parse_wire_id(found)


def read_answer(record: ConsumerRecord, wire_id: WireId) -> Answer | None:
    """Return the answer in a record of the predictions topic; None if it is none."""
    published: bytes = record.value or b""
    try:
        place = _PLACES.decode(published)
        value = _as_client_knows(published, wire_id)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Answer(
        request_id=wire_id.request_id,
        index=place.item.index,
        count=place.item.count,
        request=Position(place.source.partition, place.source.offset),
        record=Position(record.partition, record.offset),
        published_at_ms=record.timestamp,
        value=value,
    )


def _as_client_knows(published: bytes, wire_id: WireId) -> bytes:
    """Return a result with the id that the client knows."""
    own, known = _fields(wire_id)
    if own in published:  # in a string the quotes would be escaped, so this is the field
        return published.replace(own, known, 1)
    result: dict[str, Any] = msgspec.json.decode(published)  # written by something else, with spaces perhaps
    return msgspec.json.encode(result | {"request_id": wire_id.request_id})


@functools.lru_cache(maxsize=64)
def _fields(wire_id: WireId) -> tuple[bytes, bytes]:
    """Return the field `request_id` as it is on the topic, and as the client knows it."""
    own, known = (b'"request_id":' + msgspec.json.encode(each) for each in (str(wire_id), wire_id.request_id))
    return own, known
