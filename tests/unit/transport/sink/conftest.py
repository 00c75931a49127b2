"""Brokers in memory with either version of transactions, and a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from tests.unit.transport.sink.brokers import Brokers, Clock
from transport.sink import epochs, refusals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clocked = SimpleNamespace(
        gather=asyncio.gather, timeout=asyncio.timeout, sleep=clock.sleep, get_running_loop=lambda: clock
    )
    for module in (epochs, refusals):
        monkeypatch.setattr(module, "asyncio", clocked)
    return clock


@pytest.fixture(params=[2, 1], ids=["version 2", "version 1"])
def brokers(request: pytest.FixtureRequest) -> Brokers:
    return Brokers(request.param)


@pytest.fixture
def quiet() -> Iterator[None]:
    with capture_logs():
        yield
    structlog.reset_defaults()
