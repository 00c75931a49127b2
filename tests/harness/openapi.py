"""Prints the OpenAPI document as the server serves it: ``python -m tests.harness.openapi > docs/openapi.json``."""

from __future__ import annotations

import asyncio
import sys

from tests.harness.played_gateway import PlayedGateway
from tests.harness.web import client_of


async def served() -> str:
    """Return the document."""
    async with client_of(PlayedGateway()) as client:
        return (await client.get("/openapi.json")).text


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(served()))
