"""The epochs of a transactional producer: a new one ends the open transaction, and is sent no request of an older one.

A new epoch settles what became of the last transaction. If the markers of that one cannot be written, the broker gives
no epoch, and the producer takes another transactional id.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, IncompatibleBrokerVersion, KafkaError

from transport.errors import FatalError, describe
from transport.protocol.error_codes import error_for
from transport.protocol.transactions import Producer, init_producer_id
from transport.protocol.versions import VERSION_2, api_versions, transaction_version
from transport.retry import repeating
from transport.sink.connections import SinkConnections
from transport.sink.refusals import CONCURRENT_PAUSES_S, Refusals, raise_if_fatal

log = structlog.get_logger()

RETRY_PAUSES_S: Final = (0.1, 0.25, 0.5, 1.0)
WARNED_FAILURE: Final = 5
"""A coordinator that has just started refuses the first requests."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of a producer. Owner: the transaction that uses it."""

    producer: Producer
    has_version_2: bool
    """Whether the cluster has transactions of version 2."""
    sequences: defaultdict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))
    """The number of the next record in each partition."""


class ProducerEpochs:
    """Has an epoch for the next transaction. Owner: a `TransactionalProducer`.

    Parameters
    ----------
    connections
        To the brokers, used by this producer alone.
    prefix
        Of its transactional ids.
    transaction_timeout_ms
        After this time, the coordinator ends an open transaction.
    """

    def __init__(self, connections: SinkConnections, prefix: str, transaction_timeout_ms: int) -> None:
        self._connections = connections
        self._prefix = prefix
        self._transaction_timeout_ms = transaction_timeout_ms
        self._number = 0
        self._current: Epoch | None = None
        self._was_blocked = False
        """True if the last transaction has waited in vain for the markers of the one before."""

    @property
    def transactional_id(self) -> str:
        """The present id."""
        return f"{self._prefix}.{self._number}"

    async def settle(self) -> Epoch:
        """Return an epoch in which no transaction is open; ends the one that is. Waits as long as brokers need.

        Raises
        ------
        FatalError
            A right is missing, or the brokers refuse the producer for good.
        """
        failures, pauses = itertools.count(1), repeating(RETRY_PAUSES_S)
        markers = Refusals()
        while self._current is None:
            try:
                await self.begin()
            except ConcurrentTransactions:
                if self._was_blocked or markers.last_too_long():
                    self._take_another_id()
                    markers = Refusals()
                else:
                    await asyncio.sleep(CONCURRENT_PAUSES_S[-1])
            except IncompatibleBrokerVersion as error:
                raise FatalError(f"cannot commit: {describe(error)}") from error
            except (KafkaError, TimeoutError) as error:
                write = log.warning if next(failures) == WARNED_FAILURE else log.debug
                write("no producer epoch", why=describe(error), action="retrying")
                await self._connections.find_brokers()
                await asyncio.sleep(next(pauses))
        return self._current

    async def begin(self) -> None:
        """Ask once for a new epoch.

        Raises
        ------
        FatalError
            A right is missing.
        KafkaError
            There is no new epoch.
        """
        node = await self._connections.transaction_coordinator(self.transactional_id)
        versions = await self._connections.send(node, api_versions())
        answer = await self._connections.send(
            node, init_producer_id(self.transactional_id, self._transaction_timeout_ms)
        )
        if answer.error_code:
            raise_if_fatal(answer.error_code, self.transactional_id)
            raise error_for(answer.error_code)
        producer = Producer(self.transactional_id, answer.producer_id, answer.epoch)
        self._current = Epoch(producer, transaction_version(versions) >= VERSION_2)
        self._was_blocked = False

    def use_up(self) -> None:
        """Have no epoch, since a transaction begins in it: only its end in order gives one again, see `go_on`."""
        self._current = None

    def go_on(self, epoch: Epoch) -> None:
        """Have the epoch that the end of a transaction has given."""
        self._current = epoch

    def note_failure(self, error: Exception) -> None:
        """Remember whether a transaction has failed because the markers of the one before are not written."""
        self._was_blocked = isinstance(error, ConcurrentTransactions)

    def _take_another_id(self) -> None:
        log.warning("transaction markers not written", id=self.transactional_id, action="taking another id")
        self._number += 1
        self._was_blocked = False
