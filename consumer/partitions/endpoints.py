"""What a lane reads from, has classified by, and writes to: Kafka and the workers in the service, memory in tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from aiokafka import ConsumerRecord, TopicPartition

from consumer.partitions.state import PartitionState
from consumer.workers.protocol import Answer, Task
from transport.reading.log_ends import LogEnds
from transport.record_batch import Unreadable
from transport.transactions import OutgoingRecord


class Source(Protocol):
    """The log of one partition, from a position on."""

    offset: int
    """The position: what lies before it was returned, or is no record."""

    async def fetch(self, most_records: int) -> list[ConsumerRecord | Unreadable]:
        """Wait for records and return what has arrived, in order; nothing if nothing has for a while."""

    def lag_records(self) -> int:
        """Return how many offsets that may be read lie after the position."""


class Sink(Protocol):
    """Where results, dead letters and the committed offset of one partition go."""

    async def confirm_ownership(self) -> None:
        """Return once the group has confirmed recently enough that the partition is ours."""

    async def partition_count(self, topic: str) -> int:
        """Return how many partitions an output topic has."""

    async def commit(self, outgoing: Mapping[TopicPartition, Iterable[OutgoingRecord]], next_offset: int) -> None:
        """Publish records and commit an offset, in one transaction."""


class Endpoints(NamedTuple):
    """Both ends of an opened partition."""

    source: Source
    sink: Sink


class Partitions(Protocol):
    """All partitions of the requests topic."""

    def open(self, partition: TopicPartition, state: PartitionState) -> AbstractAsyncContextManager[Endpoints]:
        """Take a partition over and find where to start, write that into its state; close it on the way out."""

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return where the log of a partition ends, as last seen; None if it has just been revoked."""


class Classifier(Protocol):
    """Has records classified."""

    async def classify(self, tasks: Sequence[Task]) -> list[Answer]:
        """Return an answer for each task, in order."""
