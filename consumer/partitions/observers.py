"""The events of a lane: metrics, traces and the log of failed items subscribe to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from consumer.partitions.in_flight import Chunk
from consumer.partitions.requests import Request
from consumer.workers.protocol import Answer
from transport.transactions import OutgoingRecord


@dataclass(frozen=True, slots=True)
class Transaction:
    """A committed transaction."""

    partition: TopicPartition
    chunks: list[Chunk]
    answered: list[tuple[Request, Answer]]
    """Its requests with their answers, in order; empty if it only moved the offset past markers."""
    published: dict[str, list[OutgoingRecord]]
    """What it published, by topic."""
    begun_s: float
    committed_s: float
    """Both on the monotonic clock."""
    committed_at_ms: int
    """Since 1970."""


class LaneObserver:
    """Receives the events of all lanes, in the event loop. An observer overrides the methods that it needs.

    A method must return at once and must not raise: the lane waits for it.
    """

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Handle an assignment from the group: these are all partitions of this instance."""

    def fetched(self, size_bytes: int) -> None:
        """Handle fetched records; `size_bytes` are those of their keys and values."""

    def admitted(self, waited_s: float) -> None:
        """Handle a chunk that was added to the in-flight window after waiting for room."""

    def classified(self, took_s: float) -> None:
        """Handle a chunk whose answers came, `took_s` after it was submitted to the workers."""

    def committed(self, transaction: Transaction) -> None:
        """Handle a committed transaction."""

    def transaction_lost(self) -> None:
        """Handle a transaction that failed, or whose outcome is unknown."""

    def lane_lost(self) -> None:
        """Handle a lane that has lost its partition, and starts again if the group confirms it."""


class Observers(LaneObserver):
    """Passes each event on to several observers, in their order. Owner: the service."""

    def __init__(self, observers: Sequence[LaneObserver]) -> None:
        self._observers = tuple(observers)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.assigned(partitions)

    def fetched(self, size_bytes: int) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.fetched(size_bytes)

    def admitted(self, waited_s: float) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.admitted(waited_s)

    def classified(self, took_s: float) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.classified(took_s)

    def committed(self, transaction: Transaction) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.committed(transaction)

    def transaction_lost(self) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.transaction_lost()

    def lane_lost(self) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.lane_lost()
