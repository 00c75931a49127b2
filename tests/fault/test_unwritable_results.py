"""One partition of the predictions cannot be written to, for want of a leader or of replicas: the others go on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from broker import Cluster
from tests.harness.images import drawn_digits
from tests.harness.producer_command import audited
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.unwritable import LACKS, UNWRITABLE, Placed, without_broker_3
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

PARTITIONS = 4
ROUNDS, IMAGES = 5, 40


@dataclass
class Scene:
    """The topics, the service, and how many requests each partition has."""

    broker: Broker
    service: Service
    sent: int = 0

    async def lags(self) -> dict[int, int]:
        """Ask the service what is left to do: our own client might ask the broker that has died."""
        lanes = (await self.service.health())["partitions"]
        return {lane["partition"]: self.sent - (lane["committed_offset"] or 0) for lane in lanes}

    async def others_answered(self) -> float:
        """Send to all partitions, and return how many seconds it takes until all but one are answered."""
        begun_s = time.monotonic()
        for partition in range(PARTITIONS):
            await self.broker.send(drawn_digits(IMAGES), partition=partition)
        self.sent += IMAGES
        await eventually(
            self.lags,
            lambda lags: len(lags) == PARTITIONS and all(lags[each] == 0 for each in lags if each != UNWRITABLE),
            deadline_s=120,
        )
        return time.monotonic() - begun_s


def unwritable(service: Service) -> list[str]:
    return [event["lane"] for event in service.events if event["event"] == "partition not writable"]


@pytest.mark.timeout(600)  # brokers start, one dies and comes back
@pytest.mark.parametrize("lack", LACKS)
async def test_a_partition_that_cannot_be_written_to_holds_up_no_other(nodes: Cluster, lack: str) -> None:
    async with fresh_topics(Placed(nodes, LACKS[lack]), partitions=PARTITIONS) as broker:
        async with running_service(broker) as service:
            scene = Scene(broker, service)
            before_s = sorted([await scene.others_answered() for _ in range(ROUNDS)])
            await eventually(scene.lags, lambda lags: not any(lags.values()))
            nodes.nodes[2].kill()
            await without_broker_3(broker, LACKS[lack])
            await scene.others_answered()  # with it, coordinators and leaders have moved
            lost = await service.metric("digits_lanes_lost_total")
            meanwhile_s = sorted([await scene.others_answered() for _ in range(ROUNDS)])
            print(f"no {lack}: a round takes {meanwhile_s[ROUNDS // 2]:.2f} s, before {before_s[ROUNDS // 2]:.2f} s")  # noqa: T201  # the figure that the test is for
            assert (await scene.lags())[UNWRITABLE] == (ROUNDS + 1) * IMAGES
            assert f"{broker.topics.requests}/{UNWRITABLE}" in unwritable(service)
            assert await service.metric("digits_lanes_lost_total") == lost
            assert (await service.get("/livez"))[0] == 200
            nodes.nodes[2].start()
            await asyncio.to_thread(nodes.wait_until_ready)
            await eventually(scene.lags, lambda lags: not any(lags.values()), deadline_s=180)
            assert await service.metric("digits_lanes_lost_total") == lost, "its lane has waited, with its answers"
        await audited(broker, PARTITIONS * scene.sent)
