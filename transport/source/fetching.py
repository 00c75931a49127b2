"""Fetches from all brokers, for the lanes that have room: one task and one request under way for each broker.

The client's own fetcher is not used: it holds a fetch of every partition in memory, whether its lane has room or not,
and parses each record in the event loop. Its partitions are paused, see `transport.group.membership`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from transport.denials import denial
from transport.errors import FatalError, OwnershipLost, describe
from transport.internals import client_of, state_of
from transport.protocol.error_codes import TOPIC_DENIED, error_for
from transport.request_progress import send_request
from transport.source.partition import PartitionSource, Pauses
from transport.source.sessions import ANSWER_BYTES, MAX_WAIT_MS, FetchSession

log = structlog.get_logger()

CONNECTION: Final = "fetch"
"""A connection of its own: a request that waits for data would hold up all others after it."""
OFFSET_OUT_OF_RANGE: Final = 1
NO_LEADER: Final = -1
JOIN_TURNS: Final = 20
"""Turns of the event loop that a request waits for lanes that have just received data, so that they are in it."""
ROOM_LOOK_S: Final = 0.02
"""How often is looked whether a lane has room again, or the pause of a partition is over."""
COLLECT_S: Final = 0.01
"""A pause before the next request to a broker from which small batches come faster than they are fetched.

More batches then come in one answer, to one worker, in one transaction. At 1,000 images/s over 8 partitions on two busy
cores it takes a third off the latency, which `make bench ARGS=partitions` measures.
"""
COLLECT_BYTES: Final = 64 * 1024
"""No pause after an answer with more bytes: there the cost of an answer does not count."""
LEADER_LOOK_S: Final = 0.5
"""How often partitions are looked at that had no leader."""


class Room(Protocol):
    """The memory that answers may take: `consumer.memory_budget` in the service."""

    def promise(self, most_bytes: int, brokers: int) -> int:
        """Return how many bytes an answer may have, 0 if none, when this number of brokers may be asked at once."""

    def withdraw(self, promised_bytes: int) -> None:
        """Take a promise back."""


class Fetching:
    """The sources of all lanes. Owner: the service; one task for each broker that leads one of the partitions.

    Parameters
    ----------
    consumer
        Its connections and its metadata are used.
    request_timeout_s
        A broker that is silent for longer is given up.
    room
        Bounds the answers of all brokers together.
    group
        The tasks run in it.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, request_timeout_s: float, room: Room, group: asyncio.TaskGroup
    ) -> None:
        self._consumer = consumer
        self._client = client_of(consumer)
        self._timeout_s = request_timeout_s + MAX_WAIT_MS / 1000
        self._room = room
        self._group = group
        self._sources: dict[TopicPartition, PartitionSource] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._wakers: dict[int, asyncio.Event] = {}

    def open(self, partition: TopicPartition, offset: int, has_room: Callable[[], bool]) -> PartitionSource:
        """Make the source of a partition. It replaces the one of an earlier lane.

        Parameters
        ----------
        partition, offset
            Where to begin.
        has_room
            Is called before each request; the partition is left out while it returns false.
        """
        source = PartitionSource(partition, offset, has_room, self._dispatch)
        self._sources[partition] = source
        return source

    def close(self, source: PartitionSource) -> None:
        """Fetch nothing more for a source."""
        if self._sources.get(source.partition) is source:
            del self._sources[source.partition]

    async def run(self) -> None:
        """Watch for new leaders of partitions, until cancelled; then end the tasks."""
        try:
            while True:
                await asyncio.sleep(LEADER_LOOK_S)
                for source in self._sources.values():
                    if source.is_waiting:
                        self._dispatch(source)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _dispatch(self, source: PartitionSource) -> None:
        """Wake the task of the broker that leads a partition; without a leader, `run` tries again."""
        node = self._leader(source.partition)
        if node is None:
            return
        if node not in self._tasks:
            self._wakers[node] = asyncio.Event()
            self._tasks[node] = self._group.create_task(self._fetch_from(node), name=f"fetch from broker {node}")
        self._wakers[node].set()

    def _leader(self, partition: TopicPartition) -> int | None:
        leader: int | None = self._client.cluster.leader_for_partition(partition)
        return None if leader == NO_LEADER else leader

    async def _fetch_from(self, node: int) -> None:
        session, waker, pauses = FetchSession(), self._wakers[node], Pauses()
        while True:
            waker.clear()
            waiting = self._waiting_for(node)
            due = [source for source in waiting if source.pauses.are_over and source.has_room()]
            most_bytes = self._room.promise(ANSWER_BYTES, len(self._tasks)) if due else 0
            if not most_bytes:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROOM_LOOK_S if waiting else None):
                        await waker.wait()
                continue
            try:
                is_busy = await self._fetch_once(node, session, due, most_bytes)
            except (KafkaError, TimeoutError) as error:
                session.forget()
                log.debug("no fetch", broker=node, why=describe(error), action="retrying")
                self._client.force_metadata_update()
                await asyncio.sleep(pauses.next_s())
                continue
            pauses.reset()
            if is_busy:
                await asyncio.sleep(COLLECT_S)

    def _waiting_for(self, node: int) -> list[PartitionSource]:
        return [each for each in self._sources.values() if each.is_waiting and self._leader(each.partition) == node]

    async def _fetch_once(
        self, node: int, session: FetchSession, waiting: Sequence[PartitionSource], most_bytes: int
    ) -> bool:
        """Send a request, and give each source what the answer has for it. Nothing keeps the answer afterwards.

        The promise is taken back only when the lanes have counted what they have received.

        Returns
        -------
        bool
            True if the answer had several small batches: more are on their way.
        """
        try:
            request = session.request({each.partition: each.offset for each in waiting}, most_bytes)
            answer = await send_request(self._client, node, request, self._timeout_s, use=CONNECTION)
            session.note_answer(answer)
            batches, size_bytes = self._deliver(answer, {source.partition: source for source in waiting})
            await self._wait_for_lanes(waiting)
            return batches > 1 and size_bytes <= COLLECT_BYTES
        finally:
            self._room.withdraw(most_bytes)

    def _deliver(self, answer: Any, waiting: Mapping[TopicPartition, PartitionSource]) -> tuple[int, int]:
        """Give each source its part of an answer. A source whose part is refused pauses; the others do not.

        Returns
        -------
        batches, size_bytes : int
            How many batches were delivered; the bytes of the answer.
        """
        batches = size_bytes = 0
        for topic, partitions in answer.topics:
            for number, code, end, stable, _, aborted, _, data in partitions:
                source = waiting.get(TopicPartition(topic, number))
                if source is None:
                    continue
                if code:
                    self._refuse(source, code)
                    continue
                self._note_ends(source, end, stable)
                batches += source.receive(data, aborted)
                size_bytes += len(data or b"")
                if data and source.partition in self._sources:
                    # Asked for last from now on. A broker that gives no session, because it has too many, answers in
                    # the order of the request until the answer is full.
                    # Forced by test_without_sessions_no_partition_waits_for_the_backlog_of_another.
                    self._sources[source.partition] = self._sources.pop(source.partition)
        return batches, size_bytes

    def _refuse(self, source: PartitionSource, code: int) -> None:
        """End a source that cannot go on; let any other try again after a pause."""
        name = f"{source.partition.topic}/{source.partition.partition}"
        error = error_for(code, source.partition.topic)
        if code == TOPIC_DENIED:
            source.fail(FatalError(f"cannot fetch from {name}: {denial(error, topic_right='Read')}"))
        elif code == OFFSET_OUT_OF_RANGE:
            source.fail(OwnershipLost(f"could not fetch from {name} at offset {source.offset}: {describe(error)}"))
        else:
            log.debug("fetch refused", partition=name, why=describe(error), action="retrying")
            source.pauses.begin()
            self._client.force_metadata_update()

    def _note_ends(self, source: PartitionSource, end: int, stable: int) -> None:
        """Store where the log ends, for the source and for `transport.reading.log_ends`."""
        source.stable_offset = stable
        if source.partition in self._consumer.assignment():
            state = state_of(self._consumer, source.partition)
            state.highwater, state.lso, state.timestamp = end, stable, time.monotonic() * 1000

    async def _wait_for_lanes(self, served: Iterable[PartitionSource]) -> None:
        """Wait a moment for lanes that have received data: most ask for more at once, and are in the next request."""
        for _ in range(JOIN_TURNS):
            if all(source.is_waiting for source in served):
                return
            await asyncio.sleep(0)
