"""Logs from which retention has deleted any part: what is left is judged rightly, and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from contract.topics import CLOCK_TOLERANCE_MS, TopicSettings
from producer.audit import merge
from producer.audit.report import Report
from producer.audit.scope import Scope
from tests.harness.played_service import Outgoing, answer
from tests.harness.topics import Broker
from transport.reading.log_reader import OffsetRange

TOPICS = TopicSettings()
NAMES = (TOPICS.requests, TOPICS.predictions, TOPICS.dead_letter)
REQUEST, RESULT, DEAD_LETTER = (TopicPartition(name, 0) for name in NAMES)
STATUSES = st.lists(st.sampled_from(["recognised", "failed", "unsure"]), min_size=1, max_size=4)
REQUESTS = st.lists(STATUSES, min_size=1, max_size=20)

Log = list[ConsumerRecord]


@dataclass
class StubBroker:
    """The part of a broker that `answer` uses."""

    topics: TopicSettings = TOPICS


@dataclass
class Reader:
    """Reads a list like a log, one record at a time."""

    records: Iterator[ConsumerRecord]

    async def next_batch(self) -> Log:
        return [record for record in [next(self.records, None)] if record is not None]


@dataclass
class Logs:
    """The records written into each partition, and the first offset of each that is left."""

    counts: Sequence[int]
    """Partitions of requests, predictions and dead letters."""
    written: dict[TopicPartition, Log] = field(init=False)
    begin: dict[TopicPartition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.topics = [
            [TopicPartition(name, number) for number in range(count)]
            for name, count in zip(NAMES, self.counts, strict=True)
        ]
        self.written = {each: [] for topic in self.topics for each in topic}

    def append(self, outgoing: Outgoing, at_ms: int = 7) -> ConsumerRecord:
        topic = self.topics[NAMES.index(outgoing.topic)]
        partition = topic[outgoing.partition % len(topic)]
        log = self.written[partition]
        value = outgoing.value if isinstance(outgoing.value, bytes) else json.dumps(outgoing.value).encode()
        record = ConsumerRecord(
            *partition, len(log), at_ms, 0, outgoing.key, value, None, 0, 0, tuple(outgoing.headers)
        )
        log.append(record)
        return record

    def left(self, partition: TopicPartition) -> Log:
        return self.written[partition][self.begin.get(partition, 0) :]

    def scope(self) -> Scope:
        spans = {each: OffsetRange(self.begin.get(each, 0), len(log)) for each, log in self.written.items()}
        requests, predictions, dead_letters = self.topics
        return Scope(requests, predictions, dead_letters, {each: spans[each].end for each in requests}, spans)


def write(requests: Sequence[Sequence[str]], counts: Sequence[int] = (1, 1, 1), interval_ms: int = 0) -> Logs:
    """Write requests to one partition after the other, at intervals, and answer them as the service does."""
    logs = Logs(counts)
    for number, statuses in enumerate(requests):
        at_ms = 7 + number * interval_ms
        request_record = Outgoing(TOPICS.requests, number % counts[0], b"key", b"image", [("request-id", b"r")])
        request = logs.append(request_record, at_ms)
        answered = answer(cast("Broker", StubBroker()), request, statuses)
        for outgoing in (*answered.results, *answered.dead_letters):
            logs.append(outgoing, at_ms)
    return logs


def merged(logs: Logs) -> tuple[Report, int]:
    """Merge what is left; return the report, and the largest number of open entries."""
    report, scope, sizes = Report(), logs.scope(), [0]
    mergers: list[merge.Merger] = []

    def note(_: int) -> None:  # is called for each record: counts what those before it left open
        ledgers = mergers[-1]._ledgers.values()
        sizes.append(sum(len(each._open) + len(each._failed) + len(each._dead_letters) for each in ledgers))

    async def run() -> None:
        for copartitions in scope.copartitions():
            mergers.append(merge.Merger(scope, copartitions, [None] * 3, report, note))
            await mergers[-1].run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "assign_at", lambda *_: None)
        patch.setattr(merge, "RangeReader", lambda _, partition, __: Reader(iter(logs.left(partition))))
        asyncio.run(run())
    return report, max(sizes)


def requests_and_expired(logs: Logs) -> tuple[int, int]:
    """Count the requests that are left, and those of which one part is left and another is gone."""
    requests = {(each.partition, each.offset) for topic in logs.topics[:1] for tp in topic for each in logs.left(tp)}
    places = {
        partition: [(source["partition"], source["offset"]) for source in map(_source, log)]
        for partition, log in logs.written.items()
        if partition in logs.topics[1]
    }
    gone = {place for partition, some in places.items() for place in some[: logs.begin.get(partition, 0)]}
    left = {place for partition, some in places.items() for place in some[logs.begin.get(partition, 0) :]}
    return len(requests), len((requests & gone) | (left - requests))


def _source(result: ConsumerRecord) -> dict[str, int]:
    source: dict[str, int] = json.loads(result.value)["source"]
    return source


@given(REQUESTS, st.data())
def test_what_retention_has_left_is_clean_and_what_it_has_deleted_is_expired(
    requests: list[list[str]], data: st.DataObject
) -> None:
    counts = data.draw(st.sampled_from([(1, 1, 1), (2, 2, 2), (3, 2, 1), (4, 1, 2), (1, 2, 2)]))
    logs = write(requests, counts, data.draw(st.sampled_from([0, CLOCK_TOLERANCE_MS // 3, CLOCK_TOLERANCE_MS * 2])))
    logs.begin = {each: data.draw(st.integers(0, len(log)), str(each)) for each, log in logs.written.items()}
    report, _ = merged(logs)
    assert report.faults == []
    assert report.clean
    assert (report.requests, report.expired) == requests_and_expired(logs)


@pytest.mark.parametrize("taken", [1_000, 1_500, 2_000])
@pytest.mark.parametrize("topic", [RESULT, DEAD_LETTER])
def test_what_retention_has_deleted_leaves_nothing_open_while_reading(topic: TopicPartition, taken: int) -> None:
    logs = write([["failed"], ["recognised", "failed"]] * 500)
    logs.begin = {topic: taken * len(logs.written[topic]) // 2_000}
    report, most = merged(logs)
    assert report.clean
    assert most <= 3, "a request, its failed result, and a dead letter"


def test_a_result_after_the_first_one_that_is_left_can_be_missing() -> None:
    logs = write([["recognised"]] * 10)
    del logs.written[RESULT][7]
    logs.begin = {RESULT: 4}
    report, _ = merged(logs)
    assert (report.requests, report.expired, report.missing) == (10, 4, 1)
    assert report.faults == [f"missing: every result of {TOPICS.requests}/0/7"]


def test_results_missing_just_before_the_first_one_of_their_partition_are_found() -> None:
    logs = write([["recognised"]] * 10, (2, 1, 1), interval_ms=2 * CLOCK_TOLERANCE_MS)
    logs.begin = {RESULT: 3}  # the first one left is that of request 1 of partition 1
    for each in (4, 6):
        logs.written[RESULT][each] = logs.written[RESULT][3]  # overwrites one of partition 0; the log keeps its length
    report, _ = merged(logs)
    assert (report.requests, report.expired, report.missing, report.duplicated) == (10, 3, 2, 2)
    assert f"missing: every result of {TOPICS.requests}/0/2" in report.faults
    assert f"missing: every result of {TOPICS.requests}/0/3" in report.faults


def test_a_dead_letter_missing_just_before_the_first_one_left_is_found() -> None:
    logs = write([["failed"]] * 10, (2, 1, 1), interval_ms=2 * CLOCK_TOLERANCE_MS)
    logs.begin = {DEAD_LETTER: 3}
    del logs.written[DEAD_LETTER][4]
    report, _ = merged(logs)
    assert report.faults == [f"inconsistent: failed result {TOPICS.requests}/0/2/0 has no dead letter"]


def test_a_dead_letter_missing_after_the_first_one_left_is_found() -> None:
    logs = write([["failed"]] * 10)
    del logs.written[DEAD_LETTER][7]
    logs.begin = {DEAD_LETTER: 4}
    report, _ = merged(logs)
    assert report.faults == [f"inconsistent: failed result {TOPICS.requests}/0/7/0 has no dead letter"]


def test_a_dead_letter_whose_position_is_before_the_first_one_left_is_found() -> None:
    logs = write([["failed"]] * 10)
    logs.written[DEAD_LETTER].append(logs.written[DEAD_LETTER][2])
    logs.begin = {DEAD_LETTER: 4}
    report, _ = merged(logs)
    assert report.faults == [f"inconsistent: dead letter {TOPICS.requests}/0/2/0 comes after that of a later item"]
