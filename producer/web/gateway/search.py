"""Finds requests and their answers in the log: where memory does not have them, after a restart or from elsewhere.

A request without a key is found by its id: the id has the time from which on its partition is read, and says which
partition that is. Its answers are in the partition of the predictions topic that the contract names, after it. Searches
in one partition at the same time are one pass through the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producer.web.gateway.ids import WireId
from producer.web.gateway.interface import Answer, BusyError, Position, UnavailableError
from producer.web.gateway.records import Location, read_answer, wire_id_of
from producer.web.gateway.tasks import Start
from transport.clients import assign_at, open_reader, request_deadline
from transport.errors import KafkaRequestError, describe
from transport.reading.log_reader import RangeReader
from transport.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

SEARCH_TIMEOUT_S: Final = 20.0
QUEUE: Final = 1_000
"""Searches that may wait."""
RETRY_AFTER_S: Final = 5
PASS_SEARCHES: Final = 32
"""Searches in one pass, which keeps their answers in memory."""
BEFORE_MS: Final = 60_000
"""How far the clock of the service may lag that of the gateway."""
LOG_TIME_MS: Final = 5_000
"""The same for the clock of the brokers, if the topic has the timestamps of its brokers."""
LATE_MS: Final = 60_000
"""The longest time from when an id is made until its request is written."""


@dataclass(eq=False, slots=True)
class _Search:
    """Looks for the answers to one request. Owner: the pass through the log."""

    wire_id: WireId
    location: Location
    done: asyncio.Future[list[Answer]]
    answers: dict[int, Answer] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        if answer.request == self.location.position:
            self.answers[answer.index] = answer

    @property
    def is_complete(self) -> bool:
        return bool(self.answers) and len(self.answers) == next(iter(self.answers.values())).count


class LogSearch:
    """Reads the log for searches. Owner: the gateway; the passes are its tasks.

    Parameters
    ----------
    kafka
        The brokers.
    requests, predictions
        The partitions of both topics.
    start
        Starts the passes.
    max_passes
        At once.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        requests: list[TopicPartition],
        predictions: list[TopicPartition],
        start: Start,
        max_passes: int,
    ) -> None:
        self._kafka = kafka
        self._requests = requests
        self._predictions = predictions
        self._start = start
        self._passes = asyncio.Semaphore(max_passes)
        self._pending: defaultdict[TopicPartition, list[_Search]] = defaultdict(list)
        self._searched: set[TopicPartition] = set()
        self._waiting = 0

    async def answers(self, wire_id: WireId, location: Location) -> list[Answer]:
        """Return the answers to a request that are committed now, by index.

        Raises
        ------
        BusyError
            Too many searches wait.
        UnavailableError
            Kafka does not answer, or the search takes too long.
        """
        partition = self._predictions[location.position.partition % len(self._predictions)]
        search = _Search(wire_id, location, asyncio.get_running_loop().create_future())
        async with self._limited():
            self._pending[partition].append(search)
            if partition not in self._searched:
                self._searched.add(partition)
                self._start(self._search(partition), f"search {partition.partition}")
            return await search.done

    async def locate(self, wire_id: WireId, made_at_ms: int) -> Location | None:
        """Return where the request with an id of `new_request_id` is; None if it is not in the log. Raises as above."""
        partition = self._requests[wire_id.partition(len(self._requests))]
        async with self._limited(), self._passes, self._reading(partition, made_at_ms - LOG_TIME_MS) as reader:
            while records := await reader.next_batch():
                for record in records:
                    if wire_id_of(record) == wire_id:
                        return Location(Position(record.partition, record.offset), made_at_ms)
                # One record may have a wrong time, but not all of a batch.
                if all(isinstance(each, Unreadable) or each.timestamp > made_at_ms + LATE_MS for each in records):
                    break
        return None

    @contextlib.asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        if self._waiting >= QUEUE:
            raise BusyError("too many requests are looked up in the log", RETRY_AFTER_S)
        self._waiting += 1
        try:
            async with request_deadline("search the log", SEARCH_TIMEOUT_S):
                yield
        except KafkaRequestError as error:
            raise UnavailableError("the log could not be read in time", describe(error)) from error
        finally:
            self._waiting -= 1

    @contextlib.asynccontextmanager
    async def _reading(self, partition: TopicPartition, from_ms: int) -> AsyncIterator[RangeReader]:
        """Open a partition at a time, up to its present end."""
        async with open_reader(self._kafka) as reader:
            start, end = await _range(reader, partition, from_ms)
            assign_at(reader, {partition: start})
            yield RangeReader(reader, partition, end)

    async def _search(self, partition: TopicPartition) -> None:
        """Search in one pass for the answers to what waits in a partition, and again if more waits then."""
        while pending := self._pending[partition]:
            async with self._passes:
                searches = [each for each in pending[:PASS_SEARCHES] if not each.done.done()]
                del pending[:PASS_SEARCHES]
                try:
                    async with request_deadline("search the log", SEARCH_TIMEOUT_S):
                        await self._pass(partition, searches)
                except KafkaRequestError as error:
                    for search in searches:
                        if not search.done.done():
                            search.done.set_exception(error)
        self._searched.discard(partition)

    async def _pass(self, partition: TopicPartition, searches: list[_Search]) -> None:
        looking: defaultdict[WireId, list[_Search]] = defaultdict(list)
        for search in searches:
            looking[search.wire_id].append(search)
        first_ms = min((search.location.timestamp_ms for search in searches), default=0)
        async with self._reading(partition, first_ms - BEFORE_MS) as reader:
            while looking and (records := await reader.next_batch()):
                for record in records:
                    _take(record, looking)
        for search in searches:
            if not search.done.done():
                search.done.set_result([search.answers[index] for index in sorted(search.answers)])


def _take(record: ConsumerRecord | Unreadable, looking: dict[WireId, list[_Search]]) -> None:
    """Give an answer to those that look for it."""
    wire_id = wire_id_of(record)
    if wire_id is None or wire_id not in looking or (answer := read_answer(record, wire_id)) is None:
        return
    for search in looking[wire_id]:
        search.add(answer)
    if all(search.is_complete for search in looking[wire_id]):
        del looking[wire_id]


async def _range(reader: AIOKafkaConsumer, partition: TopicPartition, from_ms: int) -> tuple[int, int]:
    """Return the first offset with that time or a later one, and the end."""
    found = (await reader.offsets_for_times({partition: max(0, from_ms)}))[partition]
    end: int = (await reader.end_offsets([partition]))[partition]
    return (end if found is None else min(found.offset, end)), end
