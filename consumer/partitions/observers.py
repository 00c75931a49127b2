"""The events of a lane: metrics, traces and the log of failed items subscribe to them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from consumer.partitions.in_flight import ReadyPart


@dataclass(frozen=True, slots=True)
class Publication:
    """What one lane has published in a transaction."""

    partition: TopicPartition
    parts: list[ReadyPart]
    """In order. One without records only moved the offset past markers."""
    begun_s: float = 0.0
    committed_s: float = 0.0
    """Both on the monotonic clock."""
    committed_at_ms: int = 0
    """Since 1970."""

    @property
    def next_offset(self) -> int:
        """The offset that is committed."""
        return self.parts[-1].part.next_offset

    @property
    def records(self) -> int:
        """How many requests were answered completely."""
        return sum(ready.part.records for ready in self.parts)

    @property
    def answers(self) -> int:
        """How many images were answered: recognised, unsure or failed."""
        return sum(ready.part.answers for ready in self.parts)

    def committed(self, begun_s: float) -> Publication:
        """Return the same with its times: it has just been committed."""
        now_ms = time.time_ns() // 1_000_000
        return dataclasses.replace(self, begun_s=begun_s, committed_s=time.monotonic(), committed_at_ms=now_ms)


class LaneObserver:
    """Receives the events of all lanes, in the event loop. An observer overrides the methods that it needs.

    A method must return at once and must not raise: the lane waits for it.
    """

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Handle an assignment from the group: these are all partitions of this instance."""

    def fetched(self, size_bytes: int) -> None:
        """Handle fetched batches; `size_bytes` are all of their bytes."""

    def admitted(self, waited_s: float) -> None:
        """Handle a chunk that was added to the in-flight window after waiting for room."""

    def classified(self, took_s: float) -> None:
        """Handle a chunk whose last part came, `took_s` after it was submitted to the workers."""

    def committed(self, publication: Publication) -> None:
        """Handle what a lane has published."""

    def transaction_committed(self, took_s: float) -> None:
        """Handle a transaction of one or more lanes that was committed `took_s` after its begin."""

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

    def committed(self, publication: Publication) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.committed(publication)

    def transaction_committed(self, took_s: float) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.transaction_committed(took_s)

    def transaction_lost(self) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.transaction_lost()

    def lane_lost(self) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.lane_lost()
