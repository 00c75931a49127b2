"""A parent to be killed: starts a pool, tells that it is ready, and has one image classified."""

from __future__ import annotations

import asyncio
import sys

from tests.fault.pools import running_pool, task


async def main() -> None:
    async with running_pool(item_timeout_s=60) as running:
        print("ready", flush=True)  # noqa: T201  # whoever started it waits for this
        image = await asyncio.to_thread(sys.stdin.buffer.read)
        if image:
            await running.pool.classify([task(image)])
        await asyncio.Event().wait()


asyncio.run(main())
