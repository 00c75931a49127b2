"""What a lane reads from, has classified by, and writes to: Kafka and the workers in the service, memory in tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from aiokafka import TopicPartition

from consumer.partitions.state import PartitionState
from consumer.workers.tasks import Part, Task
from transport.protocol.offsets import Member
from transport.reading.log_ends import LogEnds
from transport.source.partition import Fetched


class Source(Protocol):
    """The log of one partition, from a position on."""

    offset: int
    """The position: what lies before it was returned, or is no record."""

    async def fetch(self) -> Fetched:
        """Wait for batches and return what has arrived, in order; nothing if nothing has for a while."""

    def lag_records(self) -> int:
        """Return how many offsets that may be read lie after the position."""


class Opened(NamedTuple):
    """A partition that a lane has taken over."""

    source: Source
    member: Member
    """In whose name its offsets are committed."""
    targets: Mapping[str, TopicPartition]
    """The partition of each output topic that gets its records."""


class Partitions(Protocol):
    """All partitions of the requests topic."""

    def open(
        self, partition: TopicPartition, state: PartitionState, has_room: Callable[[], bool]
    ) -> AbstractAsyncContextManager[Opened]:
        """Find where to start and write that into the state; close the partition on the way out.

        Nothing is fetched while `has_room` returns false.
        """

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return where the log of a partition ends, as last seen; None if it has just been revoked."""


class Classifier(Protocol):
    """Has records classified."""

    def classify(self, task: Task) -> AsyncGenerator[Part, None]:
        """Yield what is published for a task, in order, up to its end."""
