"""A gateway is killed, or sleeps, in the middle of a request with a key; the client repeats it at another gateway."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from broker import Cluster
from producer.web.gateway.interface import BusyError, Missed
from tests.harness.gateways import (
    followed,
    gateway_process,
    is_stopped,
    new_request,
    once,
    playing_service,
    running_gateway,
)
from tests.harness.played_service import answer, publish
from tests.harness.producer_command import audited
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

REQUESTS = 100
RECOVERY_S = 180.0
"""The gateway's own limits for a request and for connecting again are 30 and 15 seconds, one after the other."""


@pytest.mark.parametrize("point", ["written", "committed"])
async def test_a_request_whose_gateway_was_killed_is_sent_once(broker: Broker, point: str) -> None:
    request = once()
    async with gateway_process(broker, [request], point) as process:
        await eventually(lambda: is_stopped(process))
    async with running_gateway(broker, keys_partitions=2) as other, playing_service(broker):
        is_new = await other.submit(request)
        assert is_new is (point == "written")
        (got,) = await followed(other, request)
    (record,) = await broker.read(broker.topics.requests)
    assert got.request.offset == record.offset
    await audited(broker, 1)


async def test_a_gateway_that_wakes_after_a_takeover_sends_nothing(broker: Broker) -> None:
    request = once()
    async with gateway_process(broker, [request], "written") as process:
        await eventually(lambda: is_stopped(process))
        async with running_gateway(broker) as other, playing_service(broker):
            assert await other.submit(request)
            answers = await followed(other, request)
            process.send_signal(signal.SIGCONT)
            out, _ = await process.communicate()
    results = [each.result["result_id"] for each in answers]
    assert json.loads(out) == {"request_id": request.request_id, "is_new": False, "results": results}
    assert len(await broker.read(broker.topics.requests)) == 1


async def test_every_client_that_repeats_with_its_key_gets_its_one_answer(broker: Broker) -> None:
    requests = [once(f"image {number}".encode()) for number in range(REQUESTS)]
    async with playing_service(broker):
        async with gateway_process(broker, requests) as process:
            assert process.stdout is not None
            first = await asyncio.wait_for(process.stdout.readline(), 60)
            process.kill()  # while the others wait
        async with running_gateway(broker) as one, running_gateway(broker) as two:
            await asyncio.gather(*(gateway.submit(each) for each in requests for gateway in (one, two)))
            for each in requests:
                (answer_of_one,), (answer_of_two,) = await followed(one, each), await followed(two, each)
                assert answer_of_one == answer_of_two
    assert json.loads(first)["is_new"]
    values = [record.value for record in await broker.read(broker.topics.requests)]
    assert sorted(values) == sorted(each.payload for each in requests)
    await audited(broker, REQUESTS)


@pytest.mark.timeout(600)
async def test_a_gateway_goes_on_when_its_broker_has_restarted(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    await asyncio.to_thread(cluster.start)
    try:
        async with fresh_topics(cluster) as broker, running_gateway(broker, max_buffered_bytes=1024) as gateway:
            before, keyed = new_request(gateway), once()
            await gateway.submit(before)
            await gateway.submit(keyed)
            await broker.read(broker.topics.requests)  # its transaction has ended
            live = gateway.live("anna")
            next_live = asyncio.ensure_future(anext(live))
            (node,) = cluster.nodes
            node.kill()
            await eventually(lambda: not gateway.state().ready, deadline_s=RECOVERY_S)
            unsent = asyncio.ensure_future(gateway.submit(new_request(gateway, b"x" * 1024)))
            await eventually(lambda: gateway.state().buffered_bytes == 1024)
            with pytest.raises(BusyError):
                gateway.check_room(1)
            unsent.cancel()
            node.start()
            await asyncio.to_thread(cluster.wait_until_ready)
            await eventually(lambda: gateway.state().ready, deadline_s=RECOVERY_S)
            after, keyed_after = new_request(gateway), once()
            await gateway.submit(after)
            await gateway.submit(keyed_after)
            assert not await gateway.submit(keyed)
            records = await broker.read(broker.topics.requests)
            records = [each for each in records if each.value == b"image"]  # the other one may have been sent
            await publish(broker, [result for each in records for result in answer(broker, each).results])
            for request in (before, keyed, after, keyed_after):
                assert len(await followed(gateway, request)) == 1
            assert not isinstance(await asyncio.wait_for(next_live, 60), Missed)
            await live.aclose()
            assert len(records) == 4
    finally:
        await asyncio.to_thread(cluster.stop)
