"""Ends transactions that an instance has left open when it died, so that no reader waits for the broker's time limit.

Until such a transaction ends, readers of committed records see nothing after its results, and the next owner of its
partitions cannot know where to start. A request for a new epoch of a transactional id ends its transaction (KIP-98).
An instance that was only slow, and loses its epoch so, asks for another one and publishes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any, Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from transport.admin.authorization import id_prefix
from transport.errors import describe
from transport.internals import client_of
from transport.protocol.requests import Prepared
from transport.protocol.transaction_states import describe_transactions, list_transactions
from transport.protocol.transactions import init_producer_id
from transport.settings.kafka import GroupSettings

log = structlog.get_logger()

LEFT_AFTER_S: Final = 1.0
"""A transaction of another instance that stays open for so long is ended."""
RETRY_PAUSE_S: Final = 0.5
ATTEMPTS: Final = 10
ONGOING: Final = "Ongoing"
OWN_PART: Final = re.compile(r"[0-9a-f]+\.[0-9]+\.[0-9]+")
"""What follows the group's name in the ids of `transport.sink.producer`. Other programs have ids of the group, too."""


class _Open(NamedTuple):
    producer_id: int
    epoch: int
    started_at_ms: int


class LeftTransactions:
    """Ends left transactions. Owner: the service; lanes call `look`.

    Parameters
    ----------
    consumer
        Its connections are used.
    settings
        The group, and the time limits.
    own
        What the ids of this instance begin with: they are left alone.
    group
        The tasks run in it.
    """

    def __init__(self, consumer: AIOKafkaConsumer, settings: GroupSettings, own: str, group: asyncio.TaskGroup) -> None:
        self._client: AIOKafkaClient = client_of(consumer)
        self._timeout_ms = settings.kafka.transaction_timeout_ms
        self._prefix = id_prefix(settings)
        self._own = own
        self._group = group
        self._watched: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._again = False

    def look(self) -> None:
        """Look at all brokers for transactions of other instances, and end those that stay open. Returns at once."""
        if self._looking is not None:
            self._again = True  # what is found now may be older than the call
            return
        self._looking = self._group.create_task(self._look(), name="look for left transactions")

    async def _look(self) -> None:
        try:
            while True:
                self._again = False
                for broker in self._client.cluster.brokers():
                    with contextlib.suppress(KafkaError, TimeoutError):
                        await self._look_at(broker.nodeId)
                if not self._again:
                    return
        finally:
            self._looking = None

    async def _look_at(self, node: int) -> None:
        answer = await self._client.send(node, list_transactions(ONGOING))
        for transactional_id, *_ in answer.transactions:
            if self._is_of_another_instance(transactional_id) and transactional_id not in self._watched:
                self._watched.add(transactional_id)
                self._group.create_task(self._watch(transactional_id), name=f"watch {transactional_id}")

    def _is_of_another_instance(self, transactional_id: str) -> bool:
        part = transactional_id.removeprefix(self._prefix)
        is_ours = transactional_id.startswith(self._own) or not transactional_id.startswith(self._prefix)
        return not is_ours and OWN_PART.fullmatch(part) is not None

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
