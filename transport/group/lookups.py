"""Looks up committed offsets and where logs begin and end, for many lanes in one request.

An instance that starts with hundreds of partitions starts their lanes in the same moment, and each has to know its
committed offset and its log. One request for each lane and question would take seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from transport.group.offsets import CommittedOffset, committed_offset, committed_offsets
from transport.reading.log_ends import leader_of, log_ranges

SHARED_TIMEOUT_S: Final = 30.0
"""The time limit of a request for several lanes. Lanes have time limits of their own."""

RETRY_PAUSES_S: Final = (0.1, 0.2, 0.4)
"""A broker needs a moment until it leads the partitions of a new topic; it is asked again for all of them together."""

V = TypeVar("V")


class Lookups:
    """Looks up one partition at a time, with the client's requests.

    Parameters
    ----------
    consumer
        The member of the group.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def committed(self, partition: TopicPartition) -> CommittedOffset:
        """Return the group's committed offset; raises as `committed_offsets`. The caller sets a deadline."""
        return await committed_offset(self._consumer, partition)

    async def log_range(self, partition: TopicPartition) -> range:
        """Return the first offset of a log, and its end as far as it may be read. The caller sets a deadline.

        Raises
        ------
        KafkaError
            The brokers do not answer, or refuse.
        """
        begin = (await self._consumer.beginning_offsets([partition]))[partition]
        end = (await self._consumer.end_offsets([partition]))[partition]
        return range(begin, end)


class SharedLookups(Lookups):
    """Looks up all partitions together that are asked for at the same time. Owner: the service; lanes call it.

    Parameters
    ----------
    consumer
        The member of the group.
    group
        The requests run in it.
    """

    def __init__(self, consumer: AIOKafkaConsumer, group: asyncio.TaskGroup) -> None:
        super().__init__(consumer)
        self._group = group
        self._committed = _Together(functools.partial(committed_offsets, consumer), group)
        self._log_ranges: dict[int, _Together[range]] = {}

    async def committed(self, partition: TopicPartition) -> CommittedOffset:
        """Return the group's committed offset, as of a request that is sent after this call."""
        found = await self._committed.look_up(partition)
        return await super().committed(partition) if found is None else found

    async def log_range(self, partition: TopicPartition) -> range:
        """Return where a log begins and ends. If its leader does not say it, the client finds out why, or retries."""
        found = await self._from_leader(partition)
        for pause_s in RETRY_PAUSES_S:
            if found is not None:
                return found
            await asyncio.sleep(pause_s)
            found = await self._from_leader(partition)
        return await super().log_range(partition) if found is None else found

    async def _from_leader(self, partition: TopicPartition) -> range | None:
        leader = leader_of(self._consumer, partition)
        if leader is None:
            return None
        if leader not in self._log_ranges:  # each leader apart: one that hangs does not delay others
            look_up = functools.partial(log_ranges, self._consumer, leader)
            self._log_ranges[leader] = _Together(look_up, self._group)
        with contextlib.suppress(KafkaError, TimeoutError):
            return await self._log_ranges[leader].look_up(partition)
        return None


class _Batch(Generic[V]):
    """What one request is about."""

    def __init__(self) -> None:
        self.asked: list[tuple[TopicPartition, asyncio.Future[V | None]]] = []
        self.waiting = 0
        """Callers that wait for the answer."""
        self.task: asyncio.Task[None] | None = None


class _Together(Generic[V]):
    """Collects what is asked for in one pass of the event loop into one request."""

    def __init__(
        self,
        request: Callable[[Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, V]]],
        group: asyncio.TaskGroup,
    ) -> None:
        self._request = request
        self._group = group
        self._next: _Batch[V] | None = None

    async def look_up(self, partition: TopicPartition) -> V | None:
        """Return what is found for a partition; None if the answer does not have it."""
        if self._next is None:
            self._next = _Batch()
            self._next.task = self._group.create_task(self._answer(self._next), name="look up partitions")
        batch = self._next
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        batch.asked.append((partition, answer))
        batch.waiting += 1
        try:
            return await answer
        finally:
            batch.waiting -= 1
            if not batch.waiting:
                self._end(batch)

    async def _answer(self, batch: _Batch[V]) -> None:
        self._next = None
        try:
            async with asyncio.timeout(SHARED_TIMEOUT_S):
                found = await self._request(list(dict.fromkeys(partition for partition, _ in batch.asked)))
        except (KafkaError, TimeoutError) as error:
            for _, answer in batch.asked:
                if not answer.done():  # cancelled, if its lane has ended
                    answer.set_exception(error)
        else:
            for partition, answer in batch.asked:
                if not answer.done():
                    answer.set_result(found.get(partition))

    def _end(self, batch: _Batch[V]) -> None:
        """End a request for which no lane waits any more: a broker that hangs must not delay the shutdown."""
        if batch.task is not None:
            batch.task.cancel()  # does nothing if it has answered
        if self._next is batch:
            self._next = None
