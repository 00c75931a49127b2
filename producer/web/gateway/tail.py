"""Reads all partitions of a topic as they grow, from now on or from the beginning, also across failures of brokers.

If the reader fails, another one is opened and goes on where the last one was, so nothing is lost or read twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from transport.clients import REQUEST_TIMEOUT_S, assign_at, open_reader, request_deadline
from transport.errors import KafkaRequestError, describe
from transport.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

log = structlog.get_logger()

POLL_MS: Final = 200
BATCH_RECORDS: Final = 16
"""The most records that are handed over at once; then other tasks run: each may have an answer that is to be sent."""
REOPEN_PAUSE_S: Final = 0.5
PARTITIONS_INTERVAL_S: Final = 10.0
"""How often the tail looks whether the topic has more partitions."""
REACHED_INTERVAL_S: Final = 0.002


class Tail:
    """Reads a topic. Owner: the task that runs `run`.

    Parameters
    ----------
    kafka
        The brokers.
    topic
        Its name.
    partitions
        How many it has now. Those that are added later are read, too.
    on_record
        Is given each committed record, in the order of its partition. It does not raise.
    from_beginning
        False: only records that are committed after `started`.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        partitions: int,
        on_record: Callable[[ConsumerRecord | Unreadable], None],
        *,
        from_beginning: bool,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self.partitions = partitions
        self._on_record = on_record
        self._from_beginning = from_beginning
        self._positions: dict[TopicPartition, int] = {}
        self._reader: AIOKafkaConsumer | None = None
        self._asking: AIOKafkaConsumer | None = None
        self.started = asyncio.Event()
        """Set when the positions from which it reads are known."""
        self.failure: str | None = "it has not been read yet"
        """Why it does not read at the moment; None if it does."""

    async def run(self) -> None:
        """Read until it is cancelled."""
        while True:
            try:
                # A question to a broker would wait until the fetch before it on the same connection has ended.
                async with open_reader(self._kafka) as reader, open_reader(self._kafka) as asking:
                    self._asking = asking
                    await self._read(reader)
            except KafkaRequestError as error:
                if self.failure is None:
                    log.warning("topic unread", topic=self._topic, why=describe(error), action="connecting again")
                self.failure = str(error)
            finally:
                self._reader = self._asking = None
            await asyncio.sleep(REOPEN_PAUSE_S)

    async def reached(self, partition: int) -> None:
        """Return when all records have been handed over that are committed in a partition now.

        Raises
        ------
        KafkaRequestError
            Kafka does not answer, or the topic is not read at the moment.
        """
        where = TopicPartition(self._topic, partition)
        async with request_deadline(f"read topic {self._topic!r} to its end"):
            await self.started.wait()
            end: int | None = None
            while True:
                if end is None and (asking := self._asking) is not None:
                    end = (await asking.end_offsets([where]))[where]
                # The client moves the position in the step in which `_read` hands the records over.
                if end is not None and self._reader is not None and await self._reader.position(where) >= end:
                    return
                await asyncio.sleep(REACHED_INTERVAL_S)

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        await self._assign(reader)
        looked_s = time.monotonic()
        while True:
            async with request_deadline(f"read topic {self._topic!r}", REQUEST_TIMEOUT_S):
                batches = await reader.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            for partition, records in batches.items():
                for record in records:
                    self._on_record(record)
                self._positions[partition] = records[-1].offset + 1
            if batches:
                await asyncio.sleep(0)  # a backlog must not keep other tasks from running
            if time.monotonic() - looked_s > PARTITIONS_INTERVAL_S:
                looked_s = time.monotonic()
                found = len(reader.partitions_for_topic(self._topic) or ())
                if found > self.partitions:
                    self.partitions = found
                    await self._assign(reader)

    async def _assign(self, reader: AIOKafkaConsumer) -> None:
        async with request_deadline(f"find where topic {self._topic!r} begins and ends"):
            partitions = [TopicPartition(self._topic, number) for number in range(self.partitions)]
            starts, ends = await reader.beginning_offsets(partitions), await reader.end_offsets(partitions)
        is_first = not self.started.is_set()
        for each in partitions:
            if is_first and not self._from_beginning:
                self._positions[each] = ends[each]
            # A partition that was added is read from its start. What retention has deleted cannot be read.
            self._positions[each] = max(self._positions.get(each, 0), starts[each])
            if self._positions[each] > ends[each]:  # the topic was deleted and created again
                self._positions[each] = starts[each]
        assign_at(reader, self._positions)
        self._reader = reader
        self.failure = None
        self.started.set()
