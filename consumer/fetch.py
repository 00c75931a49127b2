"""Takes the records of one partition out of the client as they arrive.

What the client cannot parse is approached one by one, and handed on as `Unreadable`: see `consumer.unreadable`.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from consumer.errors import Fatal, Lost, describe
from consumer.rights import denial
from contract.unreadable import Unreadable, rest_of_batch

log = structlog.get_logger()

POLL_MS: Final = 1_000
"""How long one call waits for records; the next one follows at once."""
REREAD_TIMEOUT_S: Final = 15.0
CORRUPT_FETCHES: Final = 5
"""Fetches in a row with a wrong checksum before it is not the line but the log that is damaged."""


class Fetcher:
    """The fetch position of one partition. Owner: the fetching task of its lane."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        self._consumer = consumer
        self._partition = partition
        self._one_by_one = False
        self._corrupt_in_a_row = 0
        self._singly_left = 0
        consumer.seek(partition, offset)

    async def take(self, most_records: int) -> list[ConsumerRecord | Unreadable]:
        """Wait for records and return what has arrived, at least one, in order.

        There may be more than `most_records` where one of them is unreadable: the rest of its batch.

        Raises
        ------
        Lost
            The position is out of the log's range, or the client fails; the next lane looks again.
        Fatal
            The topic may not be read, or the log is damaged.
        """
        while True:
            try:
                singly = self._one_by_one or self._singly_left > 0
                records = await self._poll(1 if singly else most_records)
            except UnicodeDecodeError:
                if self._one_by_one:
                    return await self._read_on()
                self._one_by_one = True  # the client has dropped what it had parsed of this fetch: again, singly
            except CorruptRecordException as error:
                # The damage lies among the records asked for; the client has dropped those before it: again, singly.
                self._singly_left = most_records
                await self._judge_corruption(error)
            else:
                self._corrupt_in_a_row = 0
                self._singly_left = max(0, self._singly_left - len(records))
                if records:
                    return records

    async def _poll(self, most_records: int) -> list[ConsumerRecord]:
        try:
            fetched = await self._consumer.getmany(self._partition, timeout_ms=POLL_MS, max_records=most_records)
        except CorruptRecordException:
            raise
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
            raise Fatal(f"cannot fetch from {self._name}: {denial(error, topic_right='Read')}") from error
        except KafkaError as error:  # an offset out of range among them: the next lane looks where to start
            raise Lost(f"could not fetch from {self._name}: {describe(error)}") from error
        records: list[ConsumerRecord] = fetched.get(self._partition, [])
        return records

    async def _judge_corruption(self, error: CorruptRecordException) -> None:
        self._corrupt_in_a_row += 1
        log.warning("checksum is wrong", partition=self._name, attempt=self._corrupt_in_a_row, then="fetched again")
        if self._corrupt_in_a_row == CORRUPT_FETCHES:
            position = await self._consumer.position(self._partition)
            raise Fatal(f"the log of {self._name} is damaged behind offset {position}") from error

    def behind_records(self) -> int:
        """Offsets between the position and what may be read, as of the last fetch."""
        stable = self._consumer.last_stable_offset(self._partition)
        position = self._consumer._subscription.subscription.assignment.state_value(self._partition)  # noqa: SLF001  # position() would wait
        return max(0, stable - position.position) if stable is not None and position.has_valid_position else 0

    @property
    def _name(self) -> str:
        return f"{self._partition.topic}/{self._partition.partition}"

    async def _read_on(self) -> list[ConsumerRecord | Unreadable]:
        # The client's position is behind the last record that it could parse; transaction markers may lie
        # between that and the next batch. Only its parser knows the offset that it failed behind.
        parsed = self._consumer._fetcher._records[self._partition]._partition_records  # noqa: SLF001  # nothing public tells
        try:
            async with asyncio.timeout(REREAD_TIMEOUT_S):
                records, next_offset = await rest_of_batch(
                    self._consumer, self._partition, int(parsed.next_fetch_offset)
                )
            self._consumer.seek(self._partition, next_offset)
        except (KafkaError, TimeoutError) as error:
            raise Lost(f"could not read on in {self._name}: {describe(error)}") from error
        for record in records:
            if isinstance(record, Unreadable):
                log.warning(
                    "unreadable record",
                    partition=self._name,
                    offset=record.offset,
                    why=record.why,
                    then="it is answered as failed; its dead letter has no value",
                )
        self._one_by_one = False
        return records
