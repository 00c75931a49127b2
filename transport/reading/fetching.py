"""Parses what a source has fetched, for lanes that take records."""

from __future__ import annotations

import structlog
from aiokafka import ConsumerRecord

from transport.record_batch import Unreadable, parse_batch
from transport.source.partition import PartitionSource

log = structlog.get_logger()


class Fetcher:
    """The records of one partition. Owner: the fetching task of its lane."""

    def __init__(self, source: PartitionSource) -> None:
        self._source = source
        self._left: list[ConsumerRecord | Unreadable] = []
        self.offset = source.offset
        """The position after the last `fetch`: all records before it were returned."""

    async def fetch(self, max_records: int) -> list[ConsumerRecord | Unreadable]:
        """Wait for records and return those that have arrived, in order; empty if there are none for a while.

        Raises
        ------
        OwnershipLost, FatalError
            As `PartitionSource.fetch` does.
        """
        if not self._left:
            fetched = await self._source.fetch()
            self._left = [
                record
                for batch in fetched.batches
                for record in parse_batch(batch.data, self._source.partition)
                if record.offset >= fetched.from_offset
            ]
            self._log_unreadable(self._left)
        taken, self._left = self._left[:max_records], self._left[max_records:]
        self.offset = self._left[0].offset if self._left else self._source.offset
        return taken

    def lag_records(self) -> int:
        """Return the offsets from the position to the last stable offset, as of the last fetch."""
        return len(self._left) + self._source.lag_records()

    def _log_unreadable(self, records: list[ConsumerRecord | Unreadable]) -> None:
        unreadable = [record for record in records if isinstance(record, Unreadable)]
        if unreadable:  # one line for all: a sender could cause thousands
            partition = self._source.partition
            log.warning(
                "unreadable records",
                partition=f"{partition.topic}/{partition.partition}",
                count=len(unreadable),
                first_offset=unreadable[0].offset,
                why=unreadable[0].why,
                action="dead-lettered without value",
            )
