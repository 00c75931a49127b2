"""Lists of dead letters hold what they show of each, and not the bytes of all."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from typer.testing import CliRunner

from contract.dead_letters import DeadLetter
from producer.cli import app
from producer.commands import dead_letters, replay
from producer.errors import Exit
from producer.replay.dead_letters import Found
from producer.replay.selection import Chosen

LETTERS = 100
VALUE_BYTES = 4 * 1024 * 1024
PLACE = TopicPartition("digits.dead-letter", 0)


def found(offset: int) -> Found:
    letter = DeadLetter(
        origin_topic="digits.requests",
        origin_partition=0,
        origin_offset=offset,
        origin_timestamp_ms=7,
        item_index=0,
        item_count=1,
        item_name=None,
        result_id=f"digits.requests/0/{offset}/0",
        request_id=f"digits.requests/0/{offset}",
        error_code="damaged-image",
        error_message="It is damaged.",
        attempt=1,
        value_left_out=None,
        headers_left_out=None,
        original_headers=(),
    )
    return Found(PLACE, offset, 7, b"key", bytes(VALUE_BYTES), letter)


async def letters(*_: object) -> AsyncIterator[Found]:
    for offset in range(LETTERS):
        yield found(offset)


async def choices(*_: object) -> AsyncIterator[Chosen]:
    async for each in letters():
        yield Chosen(each, TopicPartition("digits.requests", 0), None)


async def nothing(*_: object, **__: object) -> None:
    pass


@contextlib.asynccontextmanager
async def cluster(*_: object) -> AsyncIterator[SimpleNamespace]:
    yield SimpleNamespace(partitions=lambda *_: [])


@pytest.mark.parametrize("arguments", [["dead-letters"], ["replay", "--dry-run"]])
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_list_of_large_letters_takes_the_memory_of_a_few(
    arguments: list[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dead_letters, replay):
        monkeypatch.setattr(module, "look_around", cluster)
    monkeypatch.setattr(dead_letters, "spans", nothing)
    monkeypatch.setattr(dead_letters, "read_letters", letters)
    monkeypatch.setattr(replay, "preview", choices)
    tracemalloc.start()
    try:
        ended = CliRunner().invoke(app, [*arguments, *(["--json"] if form == "json" else [])])
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended.exit_code == Exit.OK, ended.output
    assert ended.stdout.count("digits.requests/0/99/0") == 1
    assert most_bytes < LETTERS * VALUE_BYTES / 10
