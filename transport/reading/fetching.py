"""Takes the records of one partition out of the client as they arrive.

What cannot be parsed comes as `Unreadable`, see `transport.reading.record_batch`; only a wrong checksum stops the
partition.
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

from transport.admin.authorization import denial
from transport.errors import FatalError, OwnershipLost, describe
from transport.internals import state_of
from transport.reading.record_batch import Unreadable

log = structlog.get_logger()

POLL_MS: Final = 1_000
"""How long one call waits for records; the next one follows at once."""
CORRUPT_FETCHES: Final = 5
"""Fetches in a row with a wrong checksum before it is not the line but the log that is damaged."""


class Fetcher:
    """The fetch position of one partition. Owner: the fetching task of its lane."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        self._consumer = consumer
        self._partition = partition
        self._corrupt_in_a_row = 0
        self._single_fetches_left = 0
        self.offset = offset
        """The position after the last `fetch`: what lies before it was returned, or is no record."""
        consumer.seek(partition, offset)

    async def fetch(self, max_records: int) -> list[ConsumerRecord | Unreadable]:
        """Wait for records and return what has arrived, in order; nothing, if nothing has for `POLL_MS`.

        The client passes over markers of transactions and over aborted records by itself: `offset` also moves where
        nothing is returned.

        Raises
        ------
        OwnershipLost
            The position is out of the log's range, or the client fails; the next lane looks again.
        FatalError
            The topic may not be read, or the log is damaged.
        """
        while True:
            try:
                records = await self._poll(1 if self._single_fetches_left else max_records)
            except CorruptRecordException as error:
                # The damage lies among the records asked for; the client has dropped those before it: again, singly.
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
        except KafkaError as error:  # an offset out of range among them: the next lane looks where to start
            raise OwnershipLost(f"could not fetch from {self._name}: {describe(error)}") from error
        # Nobody else moves the position, and nothing was awaited since these records were taken out.
        self.offset = self._state.position
        records: list[ConsumerRecord | Unreadable] = fetched.get(self._partition, [])
        return records

    async def _count_corruption(self, error: CorruptRecordException) -> None:
        self._corrupt_in_a_row += 1
        log.warning("checksum is wrong", partition=self._name, attempt=self._corrupt_in_a_row, action="fetched again")
        if self._corrupt_in_a_row == CORRUPT_FETCHES:
            position = await self._consumer.position(self._partition)
            raise FatalError(f"the log of {self._name} is damaged behind offset {position}") from error

    def lag_records(self) -> int:
        """Offsets between the position and what may be read, as of the last fetch or look at the ends."""
        stable = self._consumer.last_stable_offset(self._partition)
        return max(0, stable - self._state.position) if stable is not None and self._state.has_valid_position else 0

    @property
    def _state(self) -> Any:
        return state_of(self._consumer, self._partition)  # position() would wait

    @property
    def _name(self) -> str:
        return f"{self._partition.topic}/{self._partition.partition}"

    def _log_unreadable(self, records: list[ConsumerRecord | Unreadable]) -> None:
        unreadable = [record for record in records if isinstance(record, Unreadable)]
        if unreadable:  # one line: a sender could make it thousands
            log.warning(
                "unreadable records",
                partition=self._name,
                count=len(unreadable),
                first_offset=unreadable[0].offset,
                why=unreadable[0].why,
                action="they are answered as failed; their dead letters have no value",
            )
