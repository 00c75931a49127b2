"""Merges the logs of requests, results and dead letters into ledgers, as they lie.

Results lead: each draws in the requests up to its own, a failed one the dead letters up to its own. So no
log runs ahead of the others, and what is in memory is a batch of each and what the ledgers hold open.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contract import headers
from contract.records import read_result, result_id
from producer.audit.contradictions import Answered, Asked, Kept
from producer.audit.ledger import ItemPlace, Ledger
from producer.audit.report import Report
from producer.audit.scope import Scope
from producer.replay.dead_letters import Stranger, identify
from transport.clients import start_at
from transport.reading.log_reader import Cursor
from transport.reading.record_batch import Unreadable


class Merge:
    """Reads a family of partitions to their ends. Owner: the auditing task.

    Parameters
    ----------
    scope
        What is audited.
    family
        Partitions of requests, predictions and dead letters, see `Scope.families`.
    readers
        One for each of the three topics.
    report
        What is found goes there.
    passed
        Hears of records as they are read, how many.
    """

    def __init__(
        self,
        scope: Scope,
        family: Sequence[Sequence[TopicPartition]],
        readers: Sequence[AIOKafkaConsumer],
        report: Report,
        passed: Callable[[int], None],
    ) -> None:
        self._scope = scope
        self._report = report
        self._requests, self._predictions, self._letters = family
        self._ledgers = {partition.partition: self._ledger(partition) for partition in self._requests}
        self._streams: dict[TopicPartition, _Stream] = {}
        self._begun: set[TopicPartition] = set()
        """Partitions of results and dead letters of which the first one has come."""
        self.answered_without_offset: set[TopicPartition] = set()
        """Partitions of requests where the group had committed nothing, and yet there are results."""
        for reader, partitions in zip(readers, family, strict=True):
            start_at(reader, {each: scope.logs[each].start for each in partitions})
            for each in partitions:
                self._streams[each] = _Stream(Cursor(reader, each, scope.logs[each].end), passed)

    async def run(self) -> None:
        """Merge the logs and draw the balance."""
        unfinished = list(self._predictions)
        while unfinished:  # a batch of each in turn, so that none runs ahead of the dead letters they share
            for partition in list(unfinished):
                batch = await self._streams[partition].take()
                if not batch:
                    unfinished.remove(partition)
                for record in batch:
                    await self._enter_result(partition, record)
        for ledger in self._ledgers.values():
            ledger.results_drawn()
        for partition in self._requests:
            await self._draw_requests(partition, self._scope.logs[partition].end)
        for partition in self._letters:
            while await self._enter_letter(partition):
                pass
        for ledger in self._ledgers.values():
            ledger.close()

    def _ledger(self, partition: TopicPartition) -> Ledger:
        logs, number = self._scope.logs, partition.partition
        committed = self._committed(number)
        if committed > logs[partition].end:
            where = f"{partition.topic}/{number}"
            self._report.contradicts(
                f"the committed offset {committed} of {where} is past its end {logs[partition].end}"
            )
        return Ledger(
            self._report,
            topic=partition.topic,
            partition=number,
            first=logs[partition].start,
            results_cut=logs[self._scope.results_of(number)].start > 0,
            letters_cut=logs[self._scope.letters_of(number)].start > 0,
        )

    def _committed(self, number: int) -> int:
        return self._scope.committed.get(self._scope.requests[number], 0)

    def _is_pending(self, number: int, offset: int) -> bool:
        """Say whether a request that has been answered lies behind the committed offset: nobody's business yet."""
        if self._scope.requests[number] not in self._scope.committed:
            self.answered_without_offset.add(self._scope.requests[number])
        return offset >= self._committed(number)

    async def _enter_result(self, partition: TopicPartition, record: ConsumerRecord | Unreadable) -> None:
        where = f"{partition.topic}/{partition.partition}/{record.offset}"
        if isinstance(record, Unreadable):
            self._report.contradicts(f"{where} is no result: it cannot be read")
            return
        try:
            result = read_result(record.value)
        except ValueError as error:
            self._report.contradicts(f"{where} is no result: {' '.join(str(error).split())}")
            return
        self._note_first(partition, record.timestamp)
        source, index = result.source, result.item.index
        number = self._number_of(source.topic, source.partition)
        if number is None or self._scope.results_of(number) != partition:
            self._report.contradicts(f"{where}: the result {result.result_id} does not belong here")
            return
        if self._is_pending(number, source.offset):
            return
        if result.result_id != result_id(source.topic, number, source.offset, index):
            self._report.contradicts(f"{where}: the result {result.result_id} has the id of another")
        await self._draw_requests(self._scope.requests[number], source.offset + 1)
        ledger, place = self._ledgers[number], (source.offset, index)
        ledger.result(Answered(result, record.key, _echo(record)))
        if ledger.waits_for_letter(place):
            await self._draw_letters(number, place)

    async def _draw_requests(self, partition: TopicPartition, end: int) -> None:
        """Enter the requests before an offset; those that are not answered yet are only counted."""
        stream, committed = self._streams[partition], self._committed(partition.partition)
        while (record := await stream.peek()) is not None and record.offset < end:
            stream.drop()
            if record.offset < committed:
                self._ledgers[partition.partition].request(_asked(record))
            else:
                self._report.pending += 1

    async def _draw_letters(self, number: int, place: ItemPlace) -> None:
        """Enter dead letters until that of a place is there, or one behind it is."""
        ledger, partition = self._ledgers[number], self._scope.letters_of(number)
        while ledger.waits_for_letter(place) and ledger.newest_letter < place:
            if not await self._enter_letter(partition):
                break
        ledger.letters_drawn(place)

    async def _enter_letter(self, partition: TopicPartition) -> bool:
        """Enter the next dead letter of a partition; False at its end."""
        record = await self._streams[partition].peek()
        if record is None:
            return False
        self._streams[partition].drop()
        found = identify(partition, record)
        where = f"{partition.topic}/{partition.partition}/{record.offset}"
        if isinstance(found, Stranger):
            self._report.contradicts(f"{where} is no dead letter: {found.why}")
            return True
        self._note_first(partition, found.timestamp_ms)
        number = self._number_of(found.letter.origin_topic, found.letter.origin_partition)
        if number is None or self._scope.letters_of(number) != partition:
            self._report.contradicts(f"{where}: the dead letter {found.letter.result_id} does not belong here")
        elif not self._is_pending(number, found.letter.origin_offset):
            self._ledgers[number].letter(Kept(found.letter, found.key, found.value is not None))
        return True

    def _note_first(self, partition: TopicPartition, timestamp_ms: int) -> None:
        """Report to the ledgers how old the first result, or dead letter, of a partition is."""
        if partition in self._begun:
            return
        self._begun.add(partition)
        for number, ledger in self._ledgers.items():
            if self._scope.results_of(number) == partition:
                ledger.results_begin(timestamp_ms)
            elif self._scope.letters_of(number) == partition:
                ledger.letters_begin(timestamp_ms)

    def _number_of(self, topic: str, number: int) -> int | None:
        """Return the number of a partition of requests, None if there is no such one."""
        known = 0 <= number < len(self._scope.requests) and topic == self._scope.requests[number].topic
        return number if known else None


class _Stream:
    """A log of which the next record can be looked at. Owner: the auditing task."""

    def __init__(self, cursor: Cursor, passed: Callable[[int], None]) -> None:
        self._cursor = cursor
        self._passed = passed
        self._records: collections.deque[ConsumerRecord | Unreadable] = collections.deque()

    async def peek(self) -> ConsumerRecord | Unreadable | None:
        """Return the next record, None at the end."""
        if not self._records:
            self._records.extend(await self._cursor.batch())
            self._passed(len(self._records))
        return self._records[0] if self._records else None

    def drop(self) -> None:
        """Take the record that `peek` has shown."""
        self._records.popleft()

    async def take(self) -> list[ConsumerRecord | Unreadable]:
        """Take the next batch; empty at the end."""
        await self.peek()
        batch = list(self._records)
        self._records.clear()
        return batch


def _asked(record: ConsumerRecord | Unreadable) -> Asked:
    if isinstance(record, Unreadable):
        return Asked(record.offset, timestamp_ms=0, key=None, request_id=None, echo={}, readable=False)
    echo = _echo(record)
    own_id = echo.get(headers.REQUEST_ID, b"").decode("utf-8", "replace")
    return Asked(record.offset, record.timestamp, record.key, own_id or None, echo)


def _echo(record: ConsumerRecord) -> dict[str, bytes]:
    return {name: value for name, value in dict(record.headers).items() if name in headers.ECHOED and value is not None}
