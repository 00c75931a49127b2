"""A replay selects dead letters in order, says why one cannot be sent, and repeats the original request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from aiokafka import TopicPartition

from contract import headers
from contract.dead_letters import DeadLetter
from producer.replay import selection
from producer.replay.dead_letter_topic import DeadLetterRecord, Filter, UnknownRecord
from producer.replay.selection import Backlog, Plan, ScannedRecord, replay_headers, scan
from transport.settings.kafka import ClientSettings

PARTITION = TopicPartition("digits.dead-letter", 0)
REQUESTS = [TopicPartition("digits.requests", number) for number in range(2)]
DEAD_LETTER = DeadLetter(
    origin_topic="digits.requests",
    origin_partition=3,
    origin_offset=1042,
    origin_timestamp_ms=7,
    item_index=0,
    item_count=1,
    item_name=None,
    result_id="digits.requests/3/1042/0",
    request_id="order-7",
    error_code="worker-timeout",
    error_message="It took too long.",
    attempt=1,
    value_left_out=None,
    headers_left_out=None,
    original_headers=((headers.FILENAME, b"scans.zip"), (headers.CONTENT_TYPE, b"application/zip"), ("x", b"y")),
)
RECORD = DeadLetterRecord(PARTITION, 0, 7, b"key", b"value", DEAD_LETTER)
OTHER = replace(RECORD, dead_letter=replace(DEAD_LETTER, error_code="damaged-image"))
PLAN = Plan(Filter(codes=("worker-timeout",)), max_attempts=3, limit=None, rate_per_s=None)


async def scanned(
    monkeypatch: pytest.MonkeyPatch,
    records: Sequence[DeadLetterRecord | UnknownRecord],
    plan: Plan = PLAN,
    limit_bytes: int | None = None,
) -> list[ScannedRecord]:
    async def read(*_: object) -> AsyncGenerator[DeadLetterRecord | UnknownRecord, None]:
        for offset, record in enumerate(records):
            yield replace(record, offset=offset)

    monkeypatch.setattr(selection, "read_dead_letters", read)
    return [each async for each in scan(ClientSettings(), Backlog(REQUESTS, limit_bytes, {}), plan)]


async def test_every_record_moves_the_progress_and_only_matching_ones_are_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await scanned(monkeypatch, [RECORD, OTHER, UnknownRecord(PARTITION, 0, "the record cannot be parsed")])
    assert [each.next_offset for each in found] == [1, 2, 3]
    assert [each.candidate is not None for each in found] == [True, False, False]


async def test_a_candidate_goes_to_the_partition_of_its_request_modulo_the_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (found,) = await scanned(monkeypatch, [RECORD])
    assert found.candidate is not None
    assert found.candidate.target == REQUESTS[3 % 2]


async def test_the_limit_counts_only_what_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    exhausted = replace(RECORD, dead_letter=replace(DEAD_LETTER, attempt=3))
    found = await scanned(monkeypatch, [exhausted, OTHER, RECORD, RECORD], replace(PLAN, limit=1))
    assert [each.next_offset for each in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (RECORD, None),
        (
            replace(RECORD, value=None, dead_letter=replace(DEAD_LETTER, value_left_out="too large")),
            "no bytes: too large",
        ),
        (replace(RECORD, value=None), "no bytes: left out"),
        (
            replace(RECORD, dead_letter=replace(DEAD_LETTER, headers_left_out="too many")),
            "key or headers are not complete: too many",
        ),
        (replace(RECORD, dead_letter=replace(DEAD_LETTER, attempt=3)), "attempted 3 times"),
        (replace(RECORD, value=bytes(2_000)), "bytes do not fit the requests topic, which takes 1,000"),
    ],
)
async def test_an_obstacle_says_why_a_dead_letter_cannot_be_sent(
    record: DeadLetterRecord, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = await scanned(monkeypatch, [record], limit_bytes=1_000)
    assert found.candidate is not None
    obstacle = found.candidate.obstacle
    assert obstacle is None if reason is None else obstacle is not None and obstacle.endswith(reason)


def test_a_repeated_request_has_the_original_headers_and_three_of_the_replay() -> None:
    first_attempt = replace(
        DEAD_LETTER,
        original_headers=(*DEAD_LETTER.original_headers, (headers.ATTEMPT, b"9"), (headers.REPLAY_OF, b"before")),
    )
    assert replay_headers(replace(RECORD, dead_letter=first_attempt)) == [
        *DEAD_LETTER.original_headers,
        (headers.REQUEST_ID, b"order-7"),
        (headers.REPLAY_OF, b"digits.requests/3/1042/0"),
        (headers.ATTEMPT, b"2"),
    ]


def test_an_entry_is_repeated_with_its_own_name_and_not_with_those_of_its_archive() -> None:
    entry = replace(RECORD, dead_letter=replace(DEAD_LETTER, item_name="a.png", item_count=2))
    sent = replay_headers(entry)
    assert sent[:2] == [("x", b"y"), (headers.FILENAME, b"a.png")]
    assert headers.CONTENT_TYPE not in dict(sent)


def test_the_progress_depends_on_the_filter_and_not_on_limit_or_rate() -> None:
    settings = ClientSettings()
    assert replace(PLAN, limit=1, rate_per_s=2).group(settings) == PLAN.group(settings)
    assert replace(PLAN, max_attempts=4).group(settings) != PLAN.group(settings)
    assert replace(PLAN, filter=Filter()).group(settings) != PLAN.group(settings)
