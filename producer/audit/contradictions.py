"""What a result has to repeat of its request, and a dead letter of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.dead_letters import DeadLetter
from contract.errors import UNECHOED
from contract.records import Result


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as its results repeat it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    request_id: str | None
    """As its header says; None without one."""
    echo: Mapping[str, bytes]
    readable: bool = True
    """False if only the offset is known."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A result, with what its record carries beside."""

    result: Result
    key: bytes | None
    echo: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter, with what its record carries beside."""

    letter: DeadLetter
    key: bytes | None
    has_value: bool


def of_result(answered: Answered, asked: Asked, count: int, default_id: str) -> Iterator[str]:
    """Name what a result does not repeat.

    Parameters
    ----------
    answered, asked
        The result and its request.
    count
        Images in the request, as the first of its results has told.
    default_id
        The request's id if it brings none.
    """
    result = answered.result
    if result.item.count != count or result.item.index >= result.item.count:
        yield "item count"
    if not asked.readable:
        return
    if result.source.timestamp_ms != asked.timestamp_ms:
        yield "timestamp"
    unechoed = _is_unechoed(result)
    if result.request_id != (default_id if unechoed else asked.request_id or default_id):
        yield "request id"
    if answered.key != (None if unechoed else asked.key):
        yield "key"
    if answered.echo != ({} if unechoed else asked.echo):
        yield "header"


def of_letter(kept: Kept, answered: Answered) -> Iterator[str]:
    """Name what a dead letter does not repeat of its failed result."""
    result, letter = answered.result, kept.letter
    # One that leaves no room for the rest is left out, with a word; one that is not echoed is on the letter alone.
    keyless = kept.key is None and letter.headers_left_out is not None
    pairs = {
        "error code": (result.error and result.error.code, letter.error_code),
        "item count": (result.item.count, letter.item_count),
        "request id": (result.request_id, letter.request_id),
        "timestamp": (result.source.timestamp_ms, letter.origin_timestamp_ms),
        # A single image has its name from the request, of which the letter has all headers.
        "item name": (result.item.name, letter.item_name or result.item.name),
        "key": (answered.key, answered.key if keyless or _is_unechoed(result) else kept.key),
    }
    yield from (name for name, (said, repeated) in pairs.items() if said != repeated)


def _is_unechoed(result: Result) -> bool:
    """Say whether key or headers were too much to be repeated: nothing that came with the request is then."""
    return result.error is not None and result.error.code in UNECHOED
