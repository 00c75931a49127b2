"""How the clients learn which broker has what: soon, from whichever broker answers, and not in a busy loop.

aiokafka 0.14 asks one broker after the other and waits the whole request timeout for each, so one that hangs holds up
what all the others know; it goes on waiting for answers of a broker that the cluster has given up; while a partition
has no leader (its topic was deleted, say) it asks as fast as brokers answer; and a broker that refuses a fetch, since
it is not the partition's leader any more, is asked again at once.

It also asks for all topics of the cluster where it has not been given any, which costs 381 ms of the event loop for
10,000 partitions; and a topic that it asks for by name is created, on brokers that do so. Here it asks for our topics
alone, and says that none is to be created: what was deleted stays away, and is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, NoError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from transport.internals import cluster_metadata_of, connection_to, connections, replace_metadata_update

MAX_AGE_MS: Final = 3_000
"""A partition that was added, and a broker that hangs and was given up, are noticed so late at most. The clients'
default is five minutes; one small question in three seconds costs nothing that could be measured."""
REFRESH_PAUSE_S: Final = 0.1
"""Between two questions, as Kafka's own client has it (``retry.backoff.ms``)."""
FIRST_TIMEOUT_S: Final = 1.0
"""For one broker's answer while there are others to ask."""
REFUSAL_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
"""After one refusal of a broker, after two in a row, and so on; the last one repeats."""


NOT_REFUSED: Final = {NoError.errno, OffsetOutOfRangeError.errno}
"""Codes after which nothing is asked again: the last one reaches the lane."""


class MetadataRefresh:
    """Replaces the client's way to ask. Owner: the client's own task, and who asks for all topics."""

    def __init__(self, client: AIOKafkaClient, request_timeout_ms: int, topics: Iterable[str]) -> None:
        self._client = client
        self._topics = frozenset(topics)
        self._patience_s = (FIRST_TIMEOUT_S, request_timeout_ms / 1000)
        self._asked_s = -REFRESH_PAUSE_S

    async def update(self, cluster: Any, topics: Any) -> bool:
        """Bring `cluster` up to date about our topics and these; return whether anybody answered."""
        wait_s = self._asked_s + REFRESH_PAUSE_S - time.monotonic()
        self._asked_s = max(time.monotonic(), self._asked_s + REFRESH_PAUSE_S)
        await asyncio.sleep(max(0.0, wait_s))
        names = sorted(self._topics.union(topics or ()))
        answer = await self._first_answer(MetadataRequest(names, allow_auto_topic_creation=False))
        if answer is None or not answer.brokers:
            cluster.failed_update(None)
            return False
        cluster.update_metadata(answer)
        self._close_removed({node for node, *_ in answer.brokers})
        return True

    async def _first_answer(self, request: MetadataRequest) -> Any:
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        random.shuffle(nodes)
        for patience_s in self._patience_s:
            slow = []
            for node in nodes:
                try:
                    async with asyncio.timeout(patience_s):
                        answer = await self._ask(node, request)
                except TimeoutError:
                    slow.append(node)
                except KafkaError:
                    continue
                else:
                    if answer is not None:
                        return answer
            nodes = slow  # no other has answered: these get their full time
        return None

    async def _ask(self, node: Any, request: MetadataRequest) -> Any:
        """Ask one broker, twice if the connection ends meanwhile; None if it does not answer.

        A connection that ends says nothing about its broker, which closes one when the client's token expires.
        Forced by test_a_service_goes_on_while_its_tokens_expire.
        """
        for _ in range(2):
            connection = await connection_to(self._client, node)
            if connection is None:
                break
            with contextlib.suppress(KafkaConnectionError):
                return await connection.send(request)
        return None

    def _close_removed(self, live: set[int]) -> None:
        """Hang up on brokers that the cluster has given up: whoever waits for their answer asks another one now."""
        for node, connection in connections(self._client):
            if node not in live and connection.connected():
                connection.close(reason=CloseReason.CONNECTION_BROKEN)


class RefusalBackoff:
    """Replaces the client's way to send: after a refusal it waits before it hands on the answer. Owner: the client.

    What the answer holds of other partitions waits with it, for less than half a second.
    Forced by test_a_fetch_refused_by_a_former_leader_is_repeated_after_a_pause.
    """

    def __init__(self, client: AIOKafkaClient) -> None:
        self._send = client.send
        self._refused_in_a_row: dict[Any, int] = {}

    async def send(self, node: Any, request: Any, **options: Any) -> Any:
        """Send a request to a broker and return its answer."""
        answer = await self._send(node, request, **options)
        if isinstance(request, FetchRequest | ProduceRequest):
            await self._pause(node, answer)
        return answer

    async def _pause(self, node: Any, answer: Any) -> None:
        codes = {code for _, partitions in getattr(answer, "topics", ()) for _, code, *_ in partitions}
        if codes <= NOT_REFUSED:
            self._refused_in_a_row.pop(node, None)
            return
        refused = self._refused_in_a_row[node] = self._refused_in_a_row.get(node, 0) + 1
        await asyncio.sleep(REFUSAL_PAUSES_S[min(refused, len(REFUSAL_PAUSES_S)) - 1])


def patch_client(client: AIOKafkaClient, request_timeout_ms: int, topics: Iterable[str]) -> None:
    """Make a client ask and send as described above; call it before the client starts.

    Parameters
    ----------
    client
        Of a consumer or a producer.
    request_timeout_ms
        The client's own.
    topics
        All that it is to know about.
    """
    replace_metadata_update(client, MetadataRefresh(client, request_timeout_ms, topics).update)
    client.send = RefusalBackoff(client).send


def live_servers(consumer: AIOKafkaConsumer) -> list[str]:
    """Return where the brokers are that the cluster counts as alive, ``host:port`` each.

    Who starts with these does not first wait for one that hangs.
    """
    brokers = cluster_metadata_of(consumer).brokers()
    return [f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}" for each in brokers]
