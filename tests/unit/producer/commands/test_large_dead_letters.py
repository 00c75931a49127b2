"""A list of dead letters keeps in memory the row of each, and not the bytes of all."""

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
from producer.replay.dead_letter_topic import DeadLetterRecord
from producer.replay.selection import Candidate

COUNT = 100
VALUE_BYTES = 4 * 1024 * 1024
PARTITION = TopicPartition("digits.dead-letter", 0)


def record(offset: int) -> DeadLetterRecord:
    dead_letter = DeadLetter(
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
    return DeadLetterRecord(PARTITION, offset, 7, b"key", bytes(VALUE_BYTES), dead_letter)


async def records(*_: object) -> AsyncIterator[DeadLetterRecord]:
    for offset in range(COUNT):
        yield record(offset)


async def candidates(*_: object) -> AsyncIterator[Candidate]:
    async for each in records():
        yield Candidate(each, TopicPartition("digits.requests", 0), None)


async def nothing(*_: object, **__: object) -> None:
    pass


@contextlib.asynccontextmanager
async def cluster(*_: object) -> AsyncIterator[SimpleNamespace]:
    yield SimpleNamespace(partitions=lambda *_: [])


@pytest.mark.parametrize("arguments", [["dead-letters"], ["replay", "--dry-run"]])
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_list_of_large_dead_letters_takes_the_memory_of_a_few(
    arguments: list[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dead_letters, replay):
        monkeypatch.setattr(module, "open_cluster", cluster)
    monkeypatch.setattr(dead_letters, "offset_ranges", nothing)
    monkeypatch.setattr(dead_letters, "read_dead_letters", records)
    monkeypatch.setattr(replay, "preview", candidates)
    tracemalloc.start()
    try:
        ended = CliRunner().invoke(app, [*arguments, *(["--json"] if form == "json" else [])])
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended.exit_code == Exit.OK, ended.output
    assert ended.stdout.count("digits.requests/0/99/0") == 1
    assert most_bytes < COUNT * VALUE_BYTES / 10
