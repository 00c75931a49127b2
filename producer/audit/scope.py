"""What an audit covers: partitions, committed offsets and logs as they are when it begins.

The committed offsets are read first and the ends of the logs after them. So every transaction that moved one of
these offsets lies before these ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from transport.admin.cluster import ClusterAdmin
from transport.reading.log_reader import OffsetRange, offset_ranges
from transport.settings.kafka import ClientSettings


@dataclass(frozen=True, slots=True)
class Scope:
    """The partitions of the three topics, in order, with their logs and the group's offsets when the audit began."""

    requests: Sequence[TopicPartition]
    predictions: Sequence[TopicPartition]
    dead_letters: Sequence[TopicPartition]
    committed: Mapping[TopicPartition, int]
    """The group's committed offsets; in a partition without one, the group has answered nothing."""
    logs: Mapping[TopicPartition, OffsetRange]

    @property
    def offsets(self) -> int:
        """How many offsets there are to read, in all three topics."""
        return sum(span.end - span.start for span in self.logs.values())

    def results_of(self, request_partition: int) -> TopicPartition:
        """Return the partition that holds the results of a partition of requests."""
        return self.predictions[request_partition % len(self.predictions)]

    def dead_letters_of(self, request_partition: int) -> TopicPartition:
        """Return the partition that holds the dead letters of a partition of requests."""
        return self.dead_letters[request_partition % len(self.dead_letters)]

    def copartitions(self) -> list[list[Sequence[TopicPartition]]]:
        """Group the partitions (requests, predictions, dead letters) so that no record belongs to two groups.

        Results and dead letters lie in the request's partition modulo the partition count of their topic. So request
        partitions that are equal modulo the greatest common divisor of both counts belong together. Usually a group
        is one partition of each topic.
        """
        step = math.gcd(len(self.predictions), len(self.dead_letters))
        topics = (self.requests, self.predictions, self.dead_letters)
        return [[topic[start::step] for topic in topics] for start in range(step)]


async def read_scope(settings: ClientSettings, cluster: ClusterAdmin) -> Scope:
    """Read the group's committed offsets, and after them where the logs begin and end.

    Raises
    ------
    KafkaRequestError
        A topic is missing, or Kafka does not answer.
    """
    topics, kafka = settings.topics, settings.kafka
    requests = cluster.partitions(topics, "requests")
    predictions = cluster.partitions(topics, "predictions")
    dead_letters = cluster.partitions(topics, "dead_letter")
    # In this order; the docstring of the module says why. Of results and dead letters the end includes transactions
    # that are still open or being committed: the audit waits for them.
    committed = await cluster.committed_offsets(kafka.group_id)
    logs = await offset_ranges(kafka, [*predictions, *dead_letters], open_transactions=True)
    logs |= await offset_ranges(kafka, requests, open_transactions=False)
    return Scope(requests, predictions, dead_letters, committed, logs)
