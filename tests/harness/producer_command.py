"""`digit-producer` as a process, in the way its users run it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from tests.harness.topics import Broker

AUDIT_S: Final = 120.0
"""Longer than the audit waits for an open transaction before it reports it."""


@dataclass
class Ended:
    """A command that has run to its end."""

    exit_code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@contextlib.asynccontextmanager
async def command(broker: Broker, *arguments: str, stdin: bytes | None = None, **env: str) -> AsyncIterator[Process]:
    """Start the command; leaving the block before it has ended kills it."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "producer", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=outside | broker.environment | env,
    )
    assert process.stdin is not None
    if stdin is not None:
        process.stdin.write(stdin)
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: Process, deadline_s: float = 60) -> Ended:
    """Wait for its end."""
    async with asyncio.timeout(deadline_s):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def said(process: Process) -> str:
    """Wait for the next line on standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        return (await process.stderr.readline()).decode()


async def run(broker: Broker, *arguments: str, stdin: bytes | None = None, **env: str) -> Ended:
    """Run the command to its end."""
    async with command(broker, *arguments, stdin=stdin, **env) as process:
        return await ended(process)


async def audited(broker: Broker, requests: int) -> None:
    """Run the audit: all of this number of requests must be answered, each once and in order."""
    async with command(broker, "audit", "--json") as process:
        audit = await ended(process, AUDIT_S)
    assert audit.exit_code == 0, audit.out + audit.err
    (counts,) = audit.lines
    assert (counts["requests"], counts["pending"]) == (requests, 0)
