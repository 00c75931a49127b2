"""How clients refresh their metadata, and how long they pause after a refused request.

aiokafka 0.14 has these defects, which the classes below replace:

* It requests metadata from one broker after the other and waits the whole request timeout for each, so one broker that
  hangs delays the answers of all others.
* It continues to wait for answers of a broker that has left the cluster.
* While a partition has no leader (after its topic was deleted, for example) it requests metadata in a busy loop.
* After a broker has refused a fetch because it is not the partition's leader any more, it sends the next one at once.
* Without topics of its own it requests all topics of the cluster, which takes 381 ms of the event loop for 10,000
  partitions. A request that names topics creates them on brokers that create topics automatically.

Here the request names only our topics and does not allow their creation, so a deleted topic is reported as missing.
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
"""The age at which metadata is refreshed, so that a new partition or a removed broker is known within this time. The
clients' default is five minutes; one small request in three seconds has no measurable cost."""
REFRESH_PAUSE_S: Final = 0.1
"""The minimum time between two refreshes, as in Kafka's Java client (``retry.backoff.ms``)."""
FIRST_TIMEOUT_S: Final = 1.0
"""The time limit for one broker's answer while other brokers have not been tried."""
REFUSAL_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
"""The pause after a broker's first refusal, its second in a row, and so on; the last pause repeats."""


NOT_REFUSED: Final = {NoError.errno, OffsetOutOfRangeError.errno}
"""Error codes that are no refusal: the client raises the second one to the lane and does not retry."""


class MetadataRefresh:
    """Replaces the client's refresh of its metadata. Owner: the client."""

    def __init__(self, client: AIOKafkaClient, request_timeout_ms: int, topics: Iterable[str]) -> None:
        self._client = client
        self._topics = frozenset(topics)
        self._patience_s = (FIRST_TIMEOUT_S, request_timeout_ms / 1000)
        self._refreshed_s = -REFRESH_PAUSE_S

    async def update(self, cluster: Any, topics: Any) -> bool:
        """Refresh the metadata of our topics and of these; return whether a broker answered."""
        wait_s = self._refreshed_s + REFRESH_PAUSE_S - time.monotonic()
        self._refreshed_s = max(time.monotonic(), self._refreshed_s + REFRESH_PAUSE_S)
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
                        answer = await self._request(node, request)
                except TimeoutError:
                    slow.append(node)
                except KafkaError:
                    continue
                else:
                    if answer is not None:
                        return answer
            nodes = slow  # no other broker has answered: these get the whole request timeout
        return None

    async def _request(self, node: Any, request: MetadataRequest) -> Any:
        """Send the request to one broker, and again if the connection closes; return None if it does not answer.

        A closed connection does not mean that the broker is down: brokers close it when the client's token expires.
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
        """Close connections to brokers that left the cluster, so that requests to them fail and are sent elsewhere."""
        for node, connection in connections(self._client):
            if node not in live and connection.connected():
                connection.close(reason=CloseReason.CONNECTION_BROKEN)


class RefusalBackoff:
    """Replaces the client's `send`: it pauses before it returns a refusal. Owner: the client.

    The pause also delays the answer's records of other partitions, by less than half a second.
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
    """Replace a client's metadata refresh and `send` by those above; call it before the client starts.

    Parameters
    ----------
    client
        The client of a consumer or a producer.
    request_timeout_ms
        The client's request timeout.
    topics
        The topics that the client uses.
    """
    replace_metadata_update(client, MetadataRefresh(client, request_timeout_ms, topics).update)
    client.send = RefusalBackoff(client).send


def live_servers(consumer: AIOKafkaConsumer) -> list[str]:
    """Return the addresses ``host:port`` of the brokers that are alive according to the cluster.

    A client that starts with these does not wait for a broker that hangs.
    """
    brokers = cluster_metadata_of(consumer).brokers()
    return [f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}" for each in brokers]
