"""Clients end in bounded time, and their end is nobody else's."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer

from consumer import service
from consumer.settings import Settings
from contract.closing import closed
from contract.settings import KafkaSettings
from producer.clients import open_reader
from tests.harness.broker import Broker


def leave_a_fetch_waiting(consumer: AIOKafkaConsumer) -> None:
    """Leave what a refused fetch leaves until it is repeated."""
    consumer._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(3_600)))


async def test_a_consumer_that_closes_while_a_fetch_waits_to_be_repeated_does_not_cancel_its_owner(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    async with service._consumer(Settings(), asyncio.Event()) as of_service:
        leave_a_fetch_waiting(of_service)
    async with open_reader(KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers)) as of_producer:
        leave_a_fetch_waiting(of_producer)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test runs in a task


async def test_a_client_that_does_not_stop_is_left_at_the_deadline() -> None:
    assert not await closed(asyncio.Event().wait, 0.01)  # type: ignore[arg-type]  # never ends, which is the point


async def test_a_defect_in_stopping_is_told() -> None:
    async def stop() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await closed(stop, 1)
