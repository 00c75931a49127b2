"""A client of the HTTP application in memory: no socket, no Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from producer.web.access.guard import Guard
from producer.web.access.keys import entry, new_key
from producer.web.app import create_app
from producer.web.gateway.interface import Gateway
from producer.web.settings import WebSettings
from tests.harness.images import drawn_digits
from transport.reports.reporter import Reporter

DIGIT, OTHER_DIGIT, THIRD_DIGIT = drawn_digits(3)
ADDRESS = "http://localhost"


@contextlib.asynccontextmanager
async def client_of(
    gateway: Gateway, settings: WebSettings | None = None, **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of an application."""
    settings = settings or WebSettings()
    guard = Guard(settings.access)
    guard.load()
    app = create_app(gateway, guard, settings, asyncio.Event(), **{"reporter": Reporter(), **more})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield client


def add_key(path: Path, name: str, *more: str) -> str:
    """Add a new key to a file, with further lines of its entry, and return it."""
    key = new_key()
    lines = [line for line in entry(name, key) if not any(line.startswith(each.partition(" ")[0]) for each in more)]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join([*lines, *more, ""]))
    return key
