"""Writes results as JSON from prepared pieces. It is what an encoder writes of the same fields; a test compares them.

The pieces are joined for each task, so that only what differs between its results is left to format.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from consumer.workers.answering.requests import Request
from consumer.workers.tasks import Task
from contract.errors import ErrorCode
from contract.records import SCHEMA_VERSION, Status
from engine.model.classifier import Reading

_json: Final = msgspec.json.Encoder().encode
_DECIMALS: Final[dict[float, bytes]] = {number / 10_000: _json(number / 10_000) for number in range(10_001)}
"""Probabilities are rounded to 4 decimals."""


class Failure(NamedTuple):
    """Why an item has no reading."""

    code: ErrorCode
    message: str


LARGEST_READING: Final = Reading("recognised", 9, 0.1234, [0.1234] * 10, "low-confidence")
"""The reading whose result has the most bytes, apart from the name and the error message."""


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
        topic, at = _json(task.topic)[1:-1], b"%d" % task.partition
        self._head = b'{"schema":%d,"result_id":"%b/%b/' % (SCHEMA_VERSION, topic, at)
        self._source = b',"source":{"topic":"%b","partition":%b,"offset":' % (topic, at)
        self._tail = b',"model":%b,"timing":{"received_at_ms":%d,"classified_at_ms":%d}}' % (
            model_json,
            task.received_at_ms,
            now_ms,
        )

    def write(self, request: Request, index: int, count: int, name: str | None, outcome: bytes) -> bytes:
        """Return the result of an item, whose outcome is `reading_json` or `failure_json`."""
        offset = request.offset
        return (
            b'%b%d/%d","request_id":%b%b%d,"timestamp_ms":%d},"item":{"index":%d,"count":%d,"name":%b},"status":%b%b'
            % (
                self._head,
                offset,
                index,
                _json(request.request_id),
                self._source,
                offset,
                request.timestamp_ms,
                index,
                count,
                b"null" if name is None else _json(name),
                outcome,
                self._tail,
            )
        )


def reading_json(reading: Reading) -> bytes:
    """Return the fields from the status on, without its name, for an item that was read."""
    try:
        confidence = _DECIMALS[reading.confidence]
        probabilities = b",".join([_DECIMALS[each] for each in reading.probabilities])
    except KeyError:
        confidence, probabilities = _json(reading.confidence), _json(reading.probabilities)[1:-1]
    return b'"%b","digit":%d,"confidence":%b,"probabilities":[%b],"reason":%b,"error":null' % (
        reading.status.encode(),
        reading.digit,
        confidence,
        probabilities,
        b"null" if reading.reason is None else b'"%b"' % reading.reason.encode(),
    )


def failure_json(failure: Failure) -> bytes:
    """Return the fields from the status on, without its name, for an item that has failed."""
    return (
        b'"%b","digit":null,"confidence":null,"probabilities":null,"reason":null,"error":{"code":"%b","message":%b}'
        % (Status.FAILED.encode(), failure.code.encode(), _json(failure.message))
    )
