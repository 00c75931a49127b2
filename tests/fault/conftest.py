"""The fixtures of tests that harm brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker import Cluster


@pytest.fixture
async def nodes(three_nodes: Cluster) -> AsyncIterator[Cluster]:
    """The three brokers that all tests share. After each test, also after a failed one, all of them run again."""
    yield three_nodes
    for node in three_nodes.nodes:
        if node.is_running:
            node.thaw()
        else:
            node.start()
    await asyncio.to_thread(three_nodes.wait_until_ready)
