"""What the gateway refuses, keeps and gives up, against a real broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from producer.web.gateway import opening
from producer.web.gateway.interface import BusyError, TooLargeError, UnavailableError
from tests.harness.gateways import followed, new_request, once, playing_service, running_gateway
from tests.harness.played_service import answer, publish
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from transport.errors import KafkaRequestError


async def test_a_request_that_the_topic_would_not_take_is_refused(broker: Broker) -> None:
    async with running_gateway(broker) as gateway:
        with pytest.raises(TooLargeError):
            await gateway.submit(new_request(gateway, b"x" * 17 * 1024 * 1024))


async def test_requests_are_refused_while_too_many_are_unanswered(broker: Broker) -> None:
    async with running_gateway(broker, max_lag=3) as gateway:
        known = once()
        await gateway.submit(known)
        await broker.send([b"of another sender"] * 3)
        await eventually(lambda: gateway.state().lag, lambda lag: lag is not None and lag > 3)
        for refused in (new_request(gateway), once()):
            with pytest.raises(BusyError) as busy:
                await gateway.submit(refused)
            assert busy.value.retry_after_s >= 1
        assert not await gateway.submit(known)
        assert gateway.state().refused == 2
        async with playing_service(broker):  # it does not commit the marker after the request with a key
            await eventually(lambda: gateway.state().lag, lambda lag: lag is not None and lag < 3)
        await gateway.submit(new_request(gateway))
    assert len(await broker.read(broker.topics.requests)) == 5


async def test_answers_beyond_the_memory_are_given_up_and_found_in_the_log(broker: Broker) -> None:
    async with running_gateway(broker, max_kept_bytes=20_000) as gateway:
        request = new_request(gateway)
        await gateway.submit(request)
        following = asyncio.ensure_future(followed(gateway, request))
        await asyncio.sleep(0)
        (record,) = await broker.read(broker.topics.requests)
        await publish(broker, answer(broker, record, ["recognised"] * 100).results)
        with pytest.raises(LookupError):
            await following
        assert gateway.state().kept_bytes <= 20_000
        found = await gateway.find(request.request_id, "anna")
        assert found is not None
        assert ([each.index for each in found.answers], found.complete) == (list(range(100)), True)


async def test_a_caller_that_gives_up_leaves_nothing_in_memory(broker: Broker) -> None:
    async with running_gateway(broker) as gateway:
        for request in (new_request(gateway), once()):
            submitting = asyncio.ensure_future(gateway.submit(request))
            await asyncio.sleep(0)
            assert gateway.state().buffered_bytes
            submitting.cancel()
            await asyncio.wait({submitting})
            assert (gateway.state().buffered_bytes, gateway.state().waiting) == (0, 0)


async def test_a_producer_that_failed_is_replaced(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise KafkaTimeoutError

    async with running_gateway(broker) as gateway:
        await gateway.submit(new_request(gateway))
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaProducer, "send", fail)
            with pytest.raises(UnavailableError):
                await gateway.submit(new_request(gateway))
        assert not gateway.state().ready
        await eventually(lambda: gateway.state().ready)
        await gateway.submit(new_request(gateway))
    assert len(await broker.read(broker.topics.requests)) == 2


async def test_without_a_topic_for_keys_only_requests_with_a_key_are_refused(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> int:
        raise KafkaRequestError("topic 'keys' is refused: TopicAuthorizationFailedError")

    monkeypatch.setattr(opening, "keys_partitions", refused)
    async with running_gateway(broker) as gateway:
        with pytest.raises(UnavailableError) as unavailable:
            await gateway.submit(once())
        assert "TopicAuthorizationFailedError" in unavailable.value.why
        assert "TopicAuthorizationFailedError" in str(gateway.state().why_keys_not_ready)
        await eventually(lambda: gateway.state().ready)
        await gateway.submit(new_request(gateway))
        assert await gateway.find("unknown", "anna") is None
