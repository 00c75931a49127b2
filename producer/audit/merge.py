"""Merges the logs of requests, results and dead letters into ledgers, in the order of the logs.

The results lead. Before a result is added to its ledger, the requests up to its own are read; after a failed result,
the dead letters up to its own. So no log is read far ahead of the others, and memory holds one batch of each log and
what the ledgers hold open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contract import headers
from contract.records import read_result, result_id
from producer.audit.consistency import AuditedDeadLetter, AuditedRequest, AuditedResult
from producer.audit.ledger import ItemPosition, Ledger
from producer.audit.peekable_log import PeekableLog
from producer.audit.report import Report
from producer.audit.scope import Scope
from producer.replay.dead_letter_topic import UnknownRecord, parse_record
from transport.clients import assign_at
from transport.reading.log_reader import RangeReader
from transport.record_batch import Unreadable


class Merger:
    """Reads copartitions to their ends. Owner: the auditing task.

    Parameters
    ----------
    scope
        What is audited.
    copartitions
        Partitions of requests, predictions and dead letters; see `Scope.copartitions`.
    readers
        One consumer for each of the three topics.
    report
        Counts and faults are added to it.
    on_read
        Is called with the number of records each time some have been read.
    """

    def __init__(
        self,
        scope: Scope,
        copartitions: Sequence[Sequence[TopicPartition]],
        readers: Sequence[AIOKafkaConsumer],
        report: Report,
        on_read: Callable[[int], None],
    ) -> None:
        self._scope = scope
        self._report = report
        self._requests, self._predictions, self._dead_letters = copartitions
        self._ledgers = {partition.partition: self._ledger(partition) for partition in self._requests}
        self._logs: dict[TopicPartition, PeekableLog] = {}
        self._begun: set[TopicPartition] = set()
        """Partitions of results and dead letters whose first record has been read."""
        self.answered_without_offset: set[TopicPartition] = set()
        """Partitions of requests that have results, although the group has committed no offset there."""
        for reader, partitions in zip(readers, copartitions, strict=True):
            assign_at(reader, {each: scope.logs[each].start for each in partitions})
            for each in partitions:
                self._logs[each] = PeekableLog(RangeReader(reader, each, scope.logs[each].end), on_read)

    async def run(self) -> None:
        """Read the logs to their ends, and count what is still open then."""
        unfinished = list(self._predictions)
        # One batch of each partition after the other, so that none gets far ahead in the dead letters they share.
        while unfinished:
            for partition in list(unfinished):
                batch = await self._logs[partition].pop_batch()
                if not batch:
                    unfinished.remove(partition)
                for record in batch:
                    await self._add_result(partition, record)
        for ledger in self._ledgers.values():
            ledger.results_read()
        for partition in self._requests:
            await self._read_requests(partition, self._scope.logs[partition].end)
        for partition in self._dead_letters:
            while await self._add_next_dead_letter(partition):
                pass
        for ledger in self._ledgers.values():
            ledger.close()

    def _ledger(self, partition: TopicPartition) -> Ledger:
        logs, number = self._scope.logs, partition.partition
        committed = self._committed(number)
        if committed > logs[partition].end:
            where = f"{partition.topic}/{number}"
            self._report.add_inconsistency(
                f"the committed offset {committed} of {where} is past its end {logs[partition].end}"
            )
        return Ledger(
            self._report,
            topic=partition.topic,
            partition=number,
            log_start=logs[partition].start,
            results_cut=logs[self._scope.results_of(number)].start > 0,
            dead_letters_cut=logs[self._scope.dead_letters_of(number)].start > 0,
        )

    def _committed(self, number: int) -> int:
        return self._scope.committed.get(self._scope.requests[number], 0)

    def _is_pending(self, number: int, offset: int) -> bool:
        """Return whether a request that has an answer is not below the committed offset: it is not judged yet."""
        if self._scope.requests[number] not in self._scope.committed:
            self.answered_without_offset.add(self._scope.requests[number])
        return offset >= self._committed(number)

    async def _add_result(self, partition: TopicPartition, record: ConsumerRecord | Unreadable) -> None:
        where = f"{partition.topic}/{partition.partition}/{record.offset}"
        if isinstance(record, Unreadable):
            self._report.add_inconsistency(f"{where} is not a result: the record cannot be parsed")
            return
        try:
            result = read_result(record.value)
        except ValueError as error:
            self._report.add_inconsistency(f"{where} is not a result: {' '.join(str(error).split())}")
            return
        self._note_oldest(partition, record.timestamp)
        source, index = result.source, result.item.index
        number = self._number_of(source.topic, source.partition)
        if number is None or self._scope.results_of(number) != partition:
            self._report.add_inconsistency(f"{where}: result {result.result_id} does not belong to this partition")
            return
        if self._is_pending(number, source.offset):
            return
        if result.result_id != result_id(source.topic, number, source.offset, index):
            self._report.add_inconsistency(f"{where}: the id {result.result_id} does not match the result's source")
        await self._read_requests(self._scope.requests[number], source.offset + 1)
        ledger, position = self._ledgers[number], (source.offset, index)
        ledger.add_result(AuditedResult(result, record.key, _echo(record)))
        if ledger.awaits_dead_letter(position):
            await self._read_dead_letters(number, position)

    async def _read_requests(self, partition: TopicPartition, end: int) -> None:
        """Add the requests before an offset to their ledger; those that are not answered yet are only counted."""
        log, committed = self._logs[partition], self._committed(partition.partition)
        while (record := await log.peek()) is not None and record.offset < end:
            log.pop()
            if record.offset < committed:
                self._ledgers[partition.partition].add_request(_audited_request(record))
            else:
                self._report.pending += 1

    async def _read_dead_letters(self, number: int, position: ItemPosition) -> None:
        """Add dead letters until that of a position has come, or one of a later position."""
        ledger, partition = self._ledgers[number], self._scope.dead_letters_of(number)
        while ledger.awaits_dead_letter(position) and ledger.newest_dead_letter < position:
            if not await self._add_next_dead_letter(partition):
                break
        ledger.dead_letters_read_to(position)

    async def _add_next_dead_letter(self, partition: TopicPartition) -> bool:
        """Add the next dead letter of a partition; return False at its end."""
        record = await self._logs[partition].peek()
        if record is None:
            return False
        self._logs[partition].pop()
        found = parse_record(partition, record)
        where = f"{partition.topic}/{partition.partition}/{record.offset}"
        if isinstance(found, UnknownRecord):
            self._report.add_inconsistency(f"{where} is not a dead letter: {found.reason}")
            return True
        self._note_oldest(partition, found.timestamp_ms)
        dead_letter = found.dead_letter
        number = self._number_of(dead_letter.origin_topic, dead_letter.origin_partition)
        if number is None or self._scope.dead_letters_of(number) != partition:
            self._report.add_inconsistency(
                f"{where}: dead letter {dead_letter.result_id} does not belong to this partition"
            )
        elif not self._is_pending(number, dead_letter.origin_offset):
            audited = AuditedDeadLetter(dead_letter, found.key, found.value is not None)
            self._ledgers[number].add_dead_letter(audited)
        return True

    def _note_oldest(self, partition: TopicPartition, timestamp_ms: int) -> None:
        """Pass the timestamp of a partition's first result, or dead letter, to the ledgers that it concerns."""
        if partition in self._begun:
            return
        self._begun.add(partition)
        for number, ledger in self._ledgers.items():
            if self._scope.results_of(number) == partition:
                ledger.set_oldest_result(timestamp_ms)
            elif self._scope.dead_letters_of(number) == partition:
                ledger.set_oldest_dead_letter(timestamp_ms)

    def _number_of(self, topic: str, number: int) -> int | None:
        """Return the number if there is such a partition of requests, else None."""
        known = 0 <= number < len(self._scope.requests) and topic == self._scope.requests[number].topic
        return number if known else None


def _audited_request(record: ConsumerRecord | Unreadable) -> AuditedRequest:
    if isinstance(record, Unreadable):
        return AuditedRequest(record.offset, timestamp_ms=0, key=None, request_id=None, echo={}, readable=False)
    echo = _echo(record)
    own_id = echo.get(headers.REQUEST_ID, b"").decode("utf-8", "replace")
    return AuditedRequest(record.offset, record.timestamp, record.key, own_id or None, echo)


def _echo(record: ConsumerRecord) -> dict[str, bytes]:
    return {name: value for name, value in dict(record.headers).items() if name in headers.ECHOED and value is not None}
