"""The whole chain with 500 waiting requests: gateway, service and broker die, and clients repeat with their keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from broker import Cluster
from tests.harness.failure_points import Point, dying_at
from tests.harness.front_door import FrontDoor, running_front_door
from tests.harness.images import drawn_digits
from tests.harness.producer_command import audited
from tests.harness.service import running_service, starting_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REQUESTS: Final = 500
DEADLINE_S: Final = 240.0
"""For all clients, after the last death."""
SETTINGS: Final = {"DIGITS_WEB__WAIT_S": "20"}
PAUSE_S: Final = 1.0
"""Of a client before it repeats: what a client does is the input of the test."""


@dataclass
class Clients:
    """All clients. Each has a key of its own, and repeats at one server after the other until it has its result."""

    servers: list[FrontDoor]
    images: Sequence[bytes]
    results: dict[str, str] = field(default_factory=dict)
    """The id of the result by the key."""

    async def run(self) -> None:
        """Return when all have their results."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
            for number in range(len(self.images)):
                group.create_task(self._until_answered(http, number), name=f"client {number}")

    async def ask_again(self, server: FrontDoor) -> dict[str, str]:
        """Repeat every request at one server; return the ids of the results by the key."""
        repeated = Clients([server], self.images)
        await repeated.run()
        return repeated.results

    async def _until_answered(self, http: aiohttp.ClientSession, number: int) -> None:
        attempt = number
        while (answer := await self._ask(http, self.servers[attempt % len(self.servers)], number)) is None:
            attempt += 1
            await asyncio.sleep(PAUSE_S)
        assert answer["digit"] is not None
        self.results[f"key-{number}"] = answer["result_id"]

    async def _ask(self, http: aiohttp.ClientSession, server: FrontDoor, number: int) -> dict[str, Any] | None:
        headers = {"Idempotency-Key": f"key-{number}"}
        with contextlib.suppress(aiohttp.ClientError):
            async with http.post(f"{server.url}/predict", data=self.images[number], headers=headers) as response:
                if response.status == 200:
                    answer: dict[str, Any] = await response.json()
                    return answer
                assert response.status in {202, 429, 503}, await response.text()
        return None


async def sent(broker: Broker) -> int:
    """Return how many requests are committed."""
    return len(await broker.read(broker.topics.requests))


async def test_clients_that_repeat_get_their_one_answer_when_everything_has_died_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    await asyncio.to_thread(cluster.start)
    try:
        async with fresh_topics(cluster) as broker, contextlib.AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(running_front_door(broker, **SETTINGS)) for _ in range(2)]
            clients = Clients(servers, drawn_digits(REQUESTS))
            running = asyncio.create_task(clients.run(), name="clients")
            stack.callback(running.cancel)
            await eventually(lambda: sent(broker))
            servers[0].kill()
            await eventually(lambda: sent(broker), lambda count: count == REQUESTS, deadline_s=DEADLINE_S)
            assert not clients.results
            async with starting_service(broker, dying_at(Point.RESULTS_SENT)) as service:
                assert await service.wait(deadline_s=DEADLINE_S) == -9
            (node,) = cluster.nodes
            node.kill()
            node.start()
            await asyncio.to_thread(cluster.wait_until_ready)
            async with running_service(broker), running_front_door(broker, **SETTINGS) as restarted:
                servers[0] = restarted
                await asyncio.wait_for(running, DEADLINE_S)
                assert len(set(clients.results.values())) == REQUESTS
                assert await asyncio.wait_for(clients.ask_again(restarted), DEADLINE_S) == clients.results
                assert await sent(broker) == REQUESTS
                await audited(broker, REQUESTS)
    finally:
        await asyncio.to_thread(cluster.stop)
