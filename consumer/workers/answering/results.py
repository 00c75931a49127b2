"""Writes results as JSON. Their fields are those of `contract.records`; a test compares the bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from consumer.workers.answering.requests import Request
from consumer.workers.tasks import Task
from contract import records
from contract.errors import ErrorCode
from contract.records import SCHEMA_VERSION, Status
from engine.model.classifier import Reading

_encoder: Final = msgspec.json.Encoder()


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why an item has no reading: the field `error` of a result."""

    code: ErrorCode
    message: str


LARGEST_READING: Final = Reading("recognised", 9, 0.1234, [0.1234] * 10, "low-confidence")
"""The reading whose result has the most bytes, apart from the name and the error message."""


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class _Item(msgspec.Struct, gc=False):
    index: int
    count: int
    name: str | None


class _Result(msgspec.Struct, gc=False):
    schema: int
    result_id: str
    request_id: str
    source: _Source
    item: _Item
    status: str
    digit: int | None
    confidence: float | None
    probabilities: list[float] | None
    reason: str | None
    error: Failure | None
    model: msgspec.Raw
    timing: msgspec.Raw
    seen: bytes | msgspec.UnsetType = msgspec.UNSET
    """Encoded as base64; left out if it is not set."""


_FAILED: Final = (Status.FAILED.value, None, None, None, None, 0)
"""What stands in for the fields of a reading."""


class ResultWriter:
    """Writes the results of one task at one time.

    Parameters
    ----------
    task
        The task.
    model_json
        The model that has read the items.
    now_ms
        When they were read.
    """

    def __init__(self, task: Task, model_json: bytes, now_ms: int) -> None:
        self._topic = task.topic
        self._partition = task.partition
        self._model = msgspec.Raw(model_json)
        timing = {"received_at_ms": task.received_at_ms, "classified_at_ms": now_ms}
        self._timing = msgspec.Raw(msgspec.json.encode(timing))
        self._written = bytearray()

    def write(
        self,
        request: Request,
        index: int,
        count: int,
        name: str | None,
        reading: Reading | None,
        *,
        failure: Failure | None = None,
        seen: bytes | None = None,
    ) -> bytes:
        """Return the result of an item.

        Parameters
        ----------
        request
            The request that the item belongs to.
        index, count, name
            The item, and how many there are.
        reading, failure
            What was read, or why nothing was.
        seen
            The picture that the model saw, if the sender asks for it.
        """
        topic, partition, offset = self._topic, self._partition, request.offset
        status, digit, confidence, probabilities, reason, _ = reading or _FAILED
        result = _Result(
            SCHEMA_VERSION,
            records.result_id(topic, partition, offset, index),
            request.request_id,
            _Source(topic, partition, offset, request.timestamp_ms),
            _Item(index, count, name),
            status,
            digit,
            confidence,
            probabilities,
            reason,
            failure,
            self._model,
            self._timing,
        )
        if seen is not None:
            result.seen = seen
        _encoder.encode_into(result, self._written)  # this memory is already there
        return bytes(self._written)
