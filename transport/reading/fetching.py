"""Fetches the records of one partition from the client as they arrive.

A record that cannot be parsed is returned as `Unreadable`, see `transport.record_batch`; only a wrong checksum
stops the partition.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from transport.denials import denial
from transport.errors import FatalError, OwnershipLost, describe
from transport.internals import state_of
from transport.record_batch import Unreadable

log = structlog.get_logger()

POLL_MS: Final = 1_000
"""The time for which one call waits for records; the next call follows at once."""
CORRUPT_FETCHES: Final = 5
"""Fetches in a row with a wrong checksum after which the log counts as damaged, and not the transfer."""


class Fetcher:
    """The fetch position of one partition. Owner: the fetching task of its lane."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        self._consumer = consumer
        self._partition = partition
        self._corrupt_in_a_row = 0
        self._single_fetches_left = 0
        self.offset = offset
        """The position after the last `fetch`: all records before it were returned."""
        consumer.seek(partition, offset)

    async def fetch(self, max_records: int) -> list[ConsumerRecord | Unreadable]:
        """Wait up to `POLL_MS` for records and return those that have arrived, in order; empty if there are none.

        The client skips transaction markers and aborted records by itself, so `offset` may advance without a record.

        Raises
        ------
        OwnershipLost
            The position is outside of the log, or the client fails; the next lane reads the committed offset again.
        FatalError
            We may not read the topic, or the log is damaged.
        """
        while True:
            try:
                records = await self._poll(1 if self._single_fetches_left else max_records)
            except CorruptRecordException as error:
                # The client has also dropped the good records before the damage, so fetch them again one by one.
                self._single_fetches_left = max_records
                await self._count_corruption(error)
            else:
                self._corrupt_in_a_row = 0
                self._single_fetches_left = max(0, self._single_fetches_left - len(records))
                self._log_unreadable(records)
                return records

    async def _poll(self, max_records: int) -> list[ConsumerRecord | Unreadable]:
        try:
            fetched = await self._consumer.getmany(self._partition, timeout_ms=POLL_MS, max_records=max_records)
        except CorruptRecordException:
            raise
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
            raise FatalError(f"cannot fetch from {self._name}: {denial(error, topic_right='Read')}") from error
        except KafkaError as error:  # also for an offset out of range: the next lane decides where to start
            raise OwnershipLost(f"could not fetch from {self._name}: {describe(error)}") from error
        # Only this task moves the position, and there was no await since the records were returned.
        self.offset = self._state.position
        records: list[ConsumerRecord | Unreadable] = fetched.get(self._partition, [])
        return records

    async def _count_corruption(self, error: CorruptRecordException) -> None:
        self._corrupt_in_a_row += 1
        log.warning("wrong checksum", partition=self._name, attempt=self._corrupt_in_a_row, action="retrying")
        if self._corrupt_in_a_row == CORRUPT_FETCHES:
            position = await self._consumer.position(self._partition)
            raise FatalError(f"the log of {self._name} is damaged after offset {position}") from error

    def lag_records(self) -> int:
        """Return the offsets from the position to the last stable offset, as of the last fetch or refresh."""
        stable = self._consumer.last_stable_offset(self._partition)
        return max(0, stable - self._state.position) if stable is not None and self._state.has_valid_position else 0

    @property
    def _state(self) -> Any:
        return state_of(self._consumer, self._partition)  # the client's position() may wait

    @property
    def _name(self) -> str:
        return f"{self._partition.topic}/{self._partition.partition}"

    def _log_unreadable(self, records: list[ConsumerRecord | Unreadable]) -> None:
        unreadable = [record for record in records if isinstance(record, Unreadable)]
        if unreadable:  # one line for all: a sender could cause thousands
            log.warning(
                "unreadable records",
                partition=self._name,
                count=len(unreadable),
                first_offset=unreadable[0].offset,
                why=unreadable[0].why,
                action="dead-lettered without value",
            )
