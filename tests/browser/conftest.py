"""Fixtures of the tests in a browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.browser.engine_results import EngineResults
from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import Visit, chromium, opened, running_browser


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    executable = chromium()
    if executable is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("Chromium is not installed; on Debian: apt-get install chromium")
        pytest.skip("Chromium is not installed")
    async with running_browser(executable) as running:
        yield running


@pytest.fixture(scope="session")
def engine() -> EngineResults:
    """The engine with the shipped model."""
    return EngineResults()


@pytest.fixture
async def gateway(engine: EngineResults) -> AsyncIterator[PlayedGateway]:
    """A test's own gateway."""
    async with PlayedGateway(engine) as running:
        yield running


@pytest.fixture
async def visit(browser: Browser, gateway: PlayedGateway) -> AsyncIterator[Visit]:
    """The page, freshly opened."""
    async with opened(browser, gateway.url) as visit:
        yield visit
