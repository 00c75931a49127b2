"""Records and answers of the gateway, made without a broker."""

from __future__ import annotations

import json

from aiokafka import ConsumerRecord

from contract import headers
from producer.web.gateway.ids import WireId, tenant_tag
from producer.web.gateway.interface import Answer, Position

ANNA = tenant_tag("anna")
REQUEST = Position(3, 17)


def wire_id(request_id: str = "one", *, once: bool = False, tenant: str = "anna") -> WireId:
    """Return the id of a request on the topics."""
    return WireId(tenant_tag(tenant), request_id, once)


def made_answer(
    index: int = 0, count: int = 1, *, request: Position = REQUEST, request_id: str = "one", size_bytes: int = 100
) -> Answer:
    """Return an answer whose value has a size."""
    return Answer(request_id, index, count, request, Position(3, 100 + index), 1, b"x" * size_bytes)


def made_record(value: bytes | None, key: bytes | None = None, *own: tuple[str, bytes]) -> ConsumerRecord:
    """Return a record of a topic."""
    return ConsumerRecord("topic", 3, 100, 1, 0, key, value, None, 0, 0, own)


def made_result(request_id: str, index: int = 0, count: int = 1) -> ConsumerRecord:
    """Return a record of the predictions topic, with the fields that the gateway reads."""
    value = {"source": {"topic": "t", "partition": 3, "offset": 17}, "item": {"index": index, "count": count}}
    value |= {"request_id": request_id}
    return made_record(json.dumps(value).encode(), None, (headers.REQUEST_ID, request_id.encode()))
