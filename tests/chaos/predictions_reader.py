"""Follows the predictions for the whole run, as a downstream application does, and checks each result.

Whatever it has ever been shown, it checks at once against all that it was shown before: nothing doubled, nothing
out of order, no hole within a request.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tests.harness.topics import Position
from transport.clients import assign_at, open_reader
from transport.errors import KafkaRequestError
from transport.settings.kafka import KafkaSettings

OFFENDERS: Final = 20
"""How many faults are kept."""
POLL_MS: Final = 100


class _Source(msgspec.Struct):
    partition: int
    offset: int


class _Item(msgspec.Struct):
    index: int
    count: int


class _Error(msgspec.Struct):
    code: str


class _Result(msgspec.Struct):
    request_id: str
    source: _Source
    item: _Item
    error: _Error | None


@dataclass(slots=True)
class Answered:
    """The answer to a request, as far as it has been read."""

    request_id: str
    count: int
    codes: list[str | None] = field(default_factory=list)
    """The error code of each image in order; None for one that did not fail."""


class Reader:
    """All results that were read. Owner: the task ``reader``.

    Attributes
    ----------
    answers
        By place of the request.
    whole
        Requests of which every image has been seen.
    results, results_in
        Seen in all, and by partition.
    offenders
        A sentence for each of the first faults; `faults` counts all.
    seen_at_s
        By partition, when results came (epoch) and how many at once.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, partitions: int) -> None:
        self._kafka = kafka
        self._next = {TopicPartition(topic, partition): 0 for partition in range(partitions)}
        self._newest: dict[int, tuple[int, int]] = {}
        self.answers: dict[Position, Answered] = {}
        self.whole = self.results = self.faults = 0
        self.results_in: Counter[int] = Counter()
        self.offenders: list[str] = []
        self.seen_at_s: dict[int, list[tuple[float, int]]] = defaultdict(list)

    async def follow(self) -> None:
        """Read until cancelled. After an error of the brokers, go on after the last record that was read."""
        while True:
            try:
                async with open_reader(self._kafka) as reader:
                    assign_at(reader, self._next)
                    await self._read(reader)
            except (
                KafkaError,
                KafkaRequestError,
            ):  # a leader has moved, or no broker answers
                continue

    def answered_in_full(self) -> set[str]:
        """Return the ids of requests of which every image has been seen."""
        return {each.request_id for each in self.answers.values() if len(each.codes) == each.count}

    def first_after(self, partition: int, at_s: float) -> float | None:
        """Return when the first result came in a partition after a moment."""
        seen = self.seen_at_s[partition]
        place = bisect.bisect_right(seen, (at_s, 1 << 62))
        return seen[place][0] if place < len(seen) else None

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        while True:
            batches = await reader.getmany(timeout_ms=POLL_MS)
            now_s = time.time()
            for tp, records in batches.items():
                for record in records:
                    self._take(record)
                self._next[tp] = records[-1].offset + 1
                self.seen_at_s[tp.partition].append((now_s, len(records)))

    def _take(self, record: ConsumerRecord) -> None:
        result = msgspec.json.decode(record.value, type=_Result)
        partition, place = result.source.partition, (result.source.offset, result.item.index)
        self.results += 1
        self.results_in[partition] += 1
        if place <= self._newest.get(partition, (-1, 0)):
            self._note(f"{partition}/{place} comes after {self._newest[partition]}: doubled or out of order")
            return
        self._newest[partition] = place
        position = Position(partition, place[0])
        answered = self.answers.setdefault(position, Answered(result.request_id, result.item.count))
        if len(answered.codes) != place[1]:
            self._note(f"{partition}/{place} comes after {len(answered.codes)} items of its request: items are missing")
        answered.codes.append(result.error.code if result.error else None)
        self.whole += len(answered.codes) == answered.count

    def _note(self, fault: str) -> None:
        self.faults += 1
        if len(self.offenders) < OFFENDERS:
            self.offenders.append(fault)
