"""What an audit covers: partitions, committed offsets and logs as they stood when it began.

The committed offsets are read first, then the ends of the logs, so every transaction that moved an
offset lies before these ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from transport.admin.cluster import Cluster
from transport.reading.log_reader import Span, spans
from transport.settings.kafka import ClientSettings


@dataclass(frozen=True, slots=True)
class Scope:
    """What is audited: the topics' partitions, in order, and their logs as of the start."""

    requests: Sequence[TopicPartition]
    predictions: Sequence[TopicPartition]
    letters: Sequence[TopicPartition]
    committed: Mapping[TopicPartition, int]
    """The group's offsets; a partition without one has answered nothing."""
    logs: Mapping[TopicPartition, Span]

    @property
    def offsets(self) -> int:
        """How many offsets there are to pass."""
        return sum(span.end - span.start for span in self.logs.values())

    def results_of(self, request_partition: int) -> TopicPartition:
        """Return where the results of a partition of requests lie."""
        return self.predictions[request_partition % len(self.predictions)]

    def letters_of(self, request_partition: int) -> TopicPartition:
        """Return where the dead letters of a partition of requests lie."""
        return self.letters[request_partition % len(self.letters)]

    def families(self) -> list[list[Sequence[TopicPartition]]]:
        """Group the partitions (requests, predictions, letters) so that nothing crosses from group to group.

        Where results and letters lie is a matter of the request partition modulo either count: what is equal
        modulo the greatest common divisor of both belongs together. Usually that is one partition of each topic.
        """
        step = math.gcd(len(self.predictions), len(self.letters))
        topics = (self.requests, self.predictions, self.letters)
        return [[topic[start::step] for topic in topics] for start in range(step)]


async def survey(settings: ClientSettings, cluster: Cluster) -> Scope:
    """Find out how far the group has got, and then how far the logs go."""
    topics, kafka = settings.topics, settings.kafka
    requests = cluster.partitions(topics, "requests")
    predictions = cluster.partitions(topics, "predictions")
    letters = cluster.partitions(topics, "dead_letter")
    # In this order, see above. The results of a transaction that is still open, or being committed, are waited for.
    committed = await cluster.committed(kafka.group_id)
    logs = await spans(kafka, [*predictions, *letters], open_transactions=True)
    logs |= await spans(kafka, requests, open_transactions=False)
    return Scope(requests, predictions, letters, committed, logs)
