"""The gateway against a real broker; the tests play the service."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest

from contract import headers
from producer.web.gateway.interface import KeyReusedError, Missed
from tests.harness.gateways import followed, new_request, once, playing_service, running_gateway
from tests.harness.played_service import answer, publish
from tests.harness.topics import Broker
from tests.harness.unawaited import logged_unawaited
from tests.harness.waiting import eventually


async def test_a_request_gets_its_answers_by_index_until_it_is_complete(broker: Broker) -> None:
    async with running_gateway(broker) as gateway, playing_service(broker, ["recognised", "failed", "unsure"]):
        request = new_request(gateway)
        assert await gateway.submit(request)
        answers = await followed(gateway, request)
    (record,) = await broker.read(broker.topics.requests)
    sent = dict(record.headers)
    assert (record.value, sent[headers.FILENAME]) == (b"image", b"seven.png")
    assert [each.result["status"] for each in answers] == ["recognised", "failed", "unsure"]
    assert [(each.index, each.count) for each in answers] == [(0, 3), (1, 3), (2, 3)]
    assert {each.result["request_id"] for each in answers} == {request.request_id}
    assert {(each.request.partition, each.request.offset) for each in answers} == {(record.partition, record.offset)}


async def test_a_request_is_found_after_a_restart_by_its_tenant_only(broker: Broker) -> None:
    async with running_gateway(broker) as gateway:
        request, other = new_request(gateway), new_request(gateway)
        await gateway.submit(request)
        await gateway.submit(other)
    async with running_gateway(broker) as restarted:
        waiting = await restarted.find(request.request_id, "anna")
        assert waiting is not None
        assert (waiting.answers, waiting.complete) == ([], False)
        async with playing_service(broker, ["recognised", "unsure"]):
            found = await eventually(lambda: restarted.find(request.request_id, "anna"), lambda it: it and it.complete)
        assert found is not None
        assert [each.result["status"] for each in found.answers] == ["recognised", "unsure"]
        assert await restarted.find(request.request_id, "bert") is None
        assert await restarted.find(restarted.new_request_id(), "anna") is None
        assert await restarted.find("what-is-this", "anna") is None
        with pytest.raises(LookupError):
            await followed(restarted, request)


async def test_live_readers_get_the_answers_of_their_tenant_from_all_gateways(broker: Broker) -> None:
    async with running_gateway(broker) as one, running_gateway(broker) as two, playing_service(broker):
        async with contextlib.aclosing(one.live("anna")) as live:
            reading = asyncio.ensure_future(anext(live))
            await eventually(lambda: one.state().live_readers == 1)
            await one.submit(new_request(one, tenant="bert"))
            request = new_request(two)
            await two.submit(request)
            first = await asyncio.wait_for(reading, 60)
        assert not isinstance(first, Missed)
        assert first.request_id == request.request_id
        assert one.state().live_readers == 0


async def test_a_key_is_sent_once_here_and_from_another_gateway_and_after_a_restart(broker: Broker) -> None:
    request = once()
    async with running_gateway(broker) as one, running_gateway(broker) as two:
        async with playing_service(broker, ["recognised", "unsure"]):
            assert await one.submit(request)
            answers = await followed(one, request)
            assert not await one.submit(request)
            assert await followed(one, request) == answers
            assert not await two.submit(request)
            assert await followed(two, request) == answers
        assert (one.state().repeated, two.state().repeated) == (1, 1)
    async with running_gateway(broker) as restarted:
        found = await restarted.find(request.request_id, "anna")
        assert found is not None
        assert (found.answers, found.complete) == (answers, True)
        assert not await restarted.submit(request)
        assert await followed(restarted, request) == answers
    assert len(await broker.read(broker.topics.requests)) == 1


async def test_a_repeated_key_whose_request_waits_gets_its_answers_when_they_come(broker: Broker) -> None:
    request = once()
    async with running_gateway(broker) as one, running_gateway(broker) as two:
        await one.submit(request)
        await two.submit(request)
        following = [asyncio.ensure_future(followed(each, request)) for each in (one, two)]
        async with playing_service(broker):
            first, second = await asyncio.gather(*following)
    assert first == second
    assert len(first) == 1


async def test_a_key_with_other_bytes_is_refused_and_another_tenant_may_use_it(broker: Broker) -> None:
    request = once()
    async with running_gateway(broker) as one, running_gateway(broker) as two:
        await one.submit(request)
        for gateway in (one, two):
            with pytest.raises(KeyReusedError):
                await gateway.submit(once(b"other", key=request.request_id))
            assert not await gateway.submit(once(key=request.request_id))
        assert await two.submit(once(b"other", key=request.request_id, tenant="bert"))
    assert len(await broker.read(broker.topics.requests)) == 2


async def test_gateways_that_send_the_same_keys_at_once_send_each_once(broker: Broker) -> None:
    requests = [once(f"image {number}".encode()) for number in range(40)]
    async with (
        running_gateway(broker) as one,
        running_gateway(broker) as two,
        running_gateway(broker) as three,
        playing_service(broker),
    ):
        sent = await asyncio.gather(*(gateway.submit(each) for each in requests for gateway in (one, two, three, two)))
        assert sum(sent) <= len(requests)
        for gateway in (one, two, three):
            for each in requests:
                assert len(await followed(gateway, each)) == 1
    values = [record.value for record in await broker.read(broker.topics.requests)]
    assert sorted(values) == sorted(each.payload for each in requests)


async def test_a_gateway_reads_the_keys_of_others_before_it_sends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = once()
    async with running_gateway(broker) as one, running_gateway(broker) as two:
        await eventually(lambda: two.state().keys_ready)  # a gateway opens before it reads the keys
        tail = two._keys._tail  # type: ignore[union-attr]
        reader, reached = tail._reader, tail.reached
        assert reader is not None
        read, held, asked, go_on = reader.getmany, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def read_later(**options: Any) -> Any:
            held.set()
            await go_on.wait()
            return await read(**options)

        async def note_that_it_asks(partition: int) -> None:
            asked.set()
            await reached(partition)

        monkeypatch.setattr(reader, "getmany", read_later)
        monkeypatch.setattr(tail, "reached", note_that_it_asks)
        await held.wait()  # from now on it learns of no key
        assert await one.submit(request)
        submitting = asyncio.create_task(two.submit(request))
        await eventually(lambda: asked.is_set() or submitting.done())
        go_on.set()
        assert not await submitting
    assert len(await broker.read(broker.topics.requests)) == 1


async def test_gateways_that_fence_each_other_leave_no_error_in_the_log(broker: Broker) -> None:
    with logged_unawaited() as logged:
        async with running_gateway(broker, keys_partitions=1) as one, running_gateway(broker) as two:
            for _ in range(3):
                for gateway in (one, two):  # each fences the other, whose futures of the Kafka client fail
                    await asyncio.gather(*(gateway.submit(once()) for _ in range(3)))
            assert one.state().key_transactions_failed
            assert two.state().key_transactions_failed
        gc.collect()
        assert logged == []


async def test_a_replay_under_the_same_id_changes_no_answer(broker: Broker) -> None:
    async with running_gateway(broker) as gateway:
        request = new_request(gateway)
        await gateway.submit(request)
        (record,) = await broker.read(broker.topics.requests)
        await broker.send([b"replayed"], partition=record.partition, headers=[*record.headers])
        first, replayed = await broker.read(broker.topics.requests)
        await publish(broker, answer(broker, replayed, ["failed"]).results)
        await publish(broker, answer(broker, first, ["recognised"]).results)
        (got,) = await followed(gateway, request)
        assert got.result["status"] == "recognised"
    async with running_gateway(broker) as restarted:
        found = await restarted.find(request.request_id, "anna")
        assert found is not None
        assert [each.result["status"] for each in found.answers] == ["recognised"]
