"""Compares a result with its request, and a dead letter with its failed result.

A result repeats the key, the id, the timestamp and some headers of its request; a dead letter repeats most of its
result. The functions here name each part that is not repeated exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.dead_letters import DeadLetter
from contract.errors import UNECHOED
from contract.records import Result


@dataclass(frozen=True, slots=True)
class AuditedRequest:
    """The parts of a request record that its results have to repeat."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    request_id: str | None
    """The value of the header; None if there is no such header."""
    echo: Mapping[str, bytes]
    """The headers that come back on every result, by name."""
    readable: bool = True
    """False if the client could not parse the record: then only `offset` is known."""


@dataclass(frozen=True, slots=True)
class AuditedResult:
    """A result, with the key and the echoed headers of its record."""

    result: Result
    key: bytes | None
    echo: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class AuditedDeadLetter:
    """A dead letter, with the key of its record; its bytes are not kept in memory."""

    dead_letter: DeadLetter
    key: bytes | None
    has_value: bool


def result_mismatches(
    audited: AuditedResult, request: AuditedRequest, item_count: int, default_request_id: str
) -> Iterator[str]:
    """Name the fields of a result that do not repeat its request.

    Parameters
    ----------
    audited, request
        The result and its request.
    item_count
        Images in the request, as the first of its results says.
    default_request_id
        The id of the request if it has no header `request-id`.

    Yields
    ------
    str
        For example ``"timestamp"`` or ``"key"``.
    """
    result = audited.result
    if result.item.count != item_count or result.item.index >= result.item.count:
        yield "item count"
    if not request.readable:
        return
    if result.source.timestamp_ms != request.timestamp_ms:
        yield "timestamp"
    unechoed = _is_unechoed(result)
    if result.request_id != (default_request_id if unechoed else request.request_id or default_request_id):
        yield "request id"
    if audited.key != (None if unechoed else request.key):
        yield "key"
    if audited.echo != ({} if unechoed else request.echo):
        yield "header"


def dead_letter_mismatches(audited: AuditedDeadLetter, failed: AuditedResult) -> Iterator[str]:
    """Name the fields of a dead letter that do not repeat its failed result."""
    result, dead_letter = failed.result, audited.dead_letter
    # A key that leaves no room for the rest is left out, and a header says so. A key that is too large to be echoed
    # is on the dead letter alone, and not on the result.
    key_left_out = audited.key is None and dead_letter.headers_left_out is not None
    pairs = {
        "error code": (result.error and result.error.code, dead_letter.error_code),
        "item count": (result.item.count, dead_letter.item_count),
        "request id": (result.request_id, dead_letter.request_id),
        "timestamp": (result.source.timestamp_ms, dead_letter.origin_timestamp_ms),
        # The name of a single image is in the request's own headers, all of which the dead letter has.
        "item name": (result.item.name, dead_letter.item_name or result.item.name),
        "key": (failed.key, failed.key if key_left_out or _is_unechoed(result) else audited.key),
    }
    yield from (name for name, (expected, found) in pairs.items() if expected != found)


def _is_unechoed(result: Result) -> bool:
    """Return whether key or headers exceeded a limit: then the result repeats none of them."""
    return result.error is not None and result.error.code in UNECHOED
