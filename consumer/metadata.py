"""How the clients learn which broker has what: soon, from whichever broker answers, and not in a busy loop.

aiokafka 0.14 asks one broker after the other and waits the whole request timeout for each, so one that hangs holds up
what all the others know; it goes on waiting for answers of a broker that the cluster has given up; and while a
partition has no leader (its topic was deleted, say) it asks as fast as brokers answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

MAX_AGE_MS: Final = 3_000
"""A partition that was added, and a broker that hangs and was given up, are noticed so late at most. The clients'
default is five minutes; one small question in three seconds costs nothing that could be measured."""
PAUSE_S: Final = 0.1
"""Between two questions, as Kafka's own client has it (``retry.backoff.ms``)."""
PATIENCE_S: Final = 1.0
"""For one broker's answer while there are others to ask."""


class Asking:
    """Replaces the client's way to ask. Owner: the client's own task, and who asks for all topics."""

    def __init__(self, client: AIOKafkaClient, request_timeout_ms: int) -> None:
        self._client = client
        self._patience_s = (PATIENCE_S, request_timeout_ms / 1000)
        self._asked_s = -PAUSE_S

    async def update(self, cluster: Any, topics: Any) -> bool:
        """Bring `cluster` up to date about these topics, all if there are none; return whether anybody answered."""
        wait_s = self._asked_s + PAUSE_S - time.monotonic()
        self._asked_s = max(time.monotonic(), self._asked_s + PAUSE_S)
        await asyncio.sleep(max(0.0, wait_s))
        answer = await self._first_answer(MetadataRequest(list(topics) if topics else None))
        if answer is None or not answer.brokers:
            cluster.failed_update(None)
            return False
        cluster.update_metadata(answer)
        self._leave({node for node, *_ in answer.brokers})
        return True

    async def _first_answer(self, request: MetadataRequest) -> Any:
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        random.shuffle(nodes)
        for patience_s in self._patience_s:
            slow = []
            for node in nodes:
                try:
                    async with asyncio.timeout(patience_s):
                        connection = await self._client._get_conn(node)  # noqa: SLF001  # what is replaced did the same
                        if connection is not None:
                            return await connection.send(request)
                except TimeoutError:
                    slow.append(node)
                except KafkaError:
                    continue
            nodes = slow  # no other has answered: these get their full time
        return None

    def _leave(self, live: set[int]) -> None:
        """Hang up on brokers that the cluster has given up: whoever waits for their answer asks another one now."""
        for (node, _), connection in list(self._client._conns.items()):  # noqa: SLF001  # nothing public tells
            if node not in live and connection.connected():
                connection.close(reason=CloseReason.CONNECTION_BROKEN)


def temper(client: AIOKafkaClient, request_timeout_ms: int) -> None:
    """Make a client ask as described above; call it before the client starts."""
    client._metadata_update = Asking(client, request_timeout_ms).update  # noqa: SLF001  # no public seam; pinned to this minor version


def live_servers(client: AIOKafkaClient) -> list[str]:
    """Return where the brokers are that the cluster counts as alive, ``host:port`` each.

    Who starts with these does not first wait for one that hangs.
    """
    brokers = client.cluster.brokers()
    return [f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}" for each in brokers]
