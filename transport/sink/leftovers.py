"""Ends transactions that an instance has left open when it died, so that no reader waits for the broker's time limit.

Until such a transaction ends, readers of committed records see nothing after its results, and the next owner of its
partitions cannot know where to start. A request for a new epoch of a transactional id ends its transaction (KIP-98).
An instance that was only slow, and loses its epoch so, asks for another one and publishes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from transport.admin.authorization import id_prefix
from transport.errors import describe
from transport.internals import client_of
from transport.settings.kafka import GroupSettings
from transport.sink.requests import Prepared, describe_transactions, init_producer_id

log = structlog.get_logger()

LEFT_AFTER_S: Final = 1.0
"""A transaction of another instance that stays open for so long is ended."""
RETRY_PAUSE_S: Final = 0.5
ATTEMPTS: Final = 10
ONGOING: Final = "Ongoing"
SEPARATOR: Final = ","
MAX_PRODUCERS: Final = 8


class Named(Protocol):
    """A producer."""

    @property
    def transactional_id(self) -> str:
        """Its present id."""


def name_producers(producers: Iterable[Named]) -> str:
    """Return the metadata of an instance's commits: it names all of its producers.

    Any of them may have a transaction open when the instance dies.
    """
    return SEPARATOR.join(producer.transactional_id for producer in producers)


class _Open(NamedTuple):
    producer_id: int
    epoch: int
    started_at_ms: int


class LeftTransactions:
    """Ends left transactions, each in a task of its own. Owner: the service; lanes call `end`.

    Parameters
    ----------
    consumer
        Its connections are used.
    settings
        The time limits.
    group
        The tasks run in it.
    """

    def __init__(self, consumer: AIOKafkaConsumer, settings: GroupSettings, group: asyncio.TaskGroup) -> None:
        self._client: AIOKafkaClient = client_of(consumer)
        self._timeout_ms = settings.kafka.transaction_timeout_ms
        self._prefix = id_prefix(settings)
        self._group = group
        self._watched: set[str] = set()

    def end(self, metadata: str) -> None:
        """Watch the producers that the metadata of a commit names, and end a transaction that stays open.

        It returns at once. Ids that are not of this group are ignored: who may commit offsets can write metadata.
        """
        for each in metadata.split(SEPARATOR)[:MAX_PRODUCERS]:
            if each.startswith(self._prefix) and each not in self._watched:
                self._watched.add(each)
                self._group.create_task(self._watch(each), name=f"watch {each}")

    async def _watch(self, transactional_id: str) -> None:
        try:
            for _ in range(ATTEMPTS):
                try:
                    open_before = await self._open(transactional_id)
                    if open_before is None:
                        return
                    await asyncio.sleep(LEFT_AFTER_S)
                    if await self._open(transactional_id) != open_before:
                        return  # it has gone on to another one: it is alive
                    log.warning("transaction left open", id=transactional_id, action="ending it")
                    await self._send(transactional_id, init_producer_id(transactional_id, self._timeout_ms))
                except IncompatibleBrokerVersion:
                    return  # then the broker's time limit ends it
                except (KafkaError, TimeoutError) as error:
                    log.debug("transaction not ended", id=transactional_id, why=describe(error), action="retrying")
                    await asyncio.sleep(RETRY_PAUSE_S)
        finally:
            self._watched.discard(transactional_id)

    async def _open(self, transactional_id: str) -> _Open | None:
        """Return the open transaction of an id; None if there is none."""
        answer = await self._send(transactional_id, describe_transactions([transactional_id]))
        for _, _, state, _, started_at_ms, producer_id, epoch, *_ in answer.transactions:
            if state == ONGOING:
                return _Open(producer_id, epoch, started_at_ms)
        return None

    async def _send(self, transactional_id: str, request: Prepared) -> Any:
        node = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        return await self._client.send(node, request)
