"""What may become of a transaction that was not committed in order."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError


class NotCommitted(Exception):  # noqa: N818  # it names what became of the transaction
    """The transaction is not committed, and never will be."""


class OutcomeUnknown(Exception):  # noqa: N818  # as above
    """The transaction may be committed: settle it, then compare the committed offsets."""


class PartitionsUnavailable(NotCommitted):
    """The transaction is not committed, because some of its partitions cannot be written to now.

    Parameters
    ----------
    partitions
        They, each with the error.
    """

    def __init__(self, partitions: Mapping[TopicPartition, KafkaError]) -> None:
        super().__init__(", ".join(f"{topic}/{number}: {error}" for (topic, number), error in partitions.items()))
        self.partitions = partitions
