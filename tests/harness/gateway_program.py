"""A gateway as a process of its own, which a test kills: it submits requests with keys, and prints what is answered.

Arguments: the topic of the keys, and where the process stops itself (SIGSTOP) in its first transaction with a key:
``written`` before the commit, ``committed`` after it, or ``never``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer

from producer.web.gateway.interface import NewRequest
from producer.web.gateway.opening import open_gateway
from producer.web.gateway.service import KafkaGateway
from producer.web.gateway.settings import GatewaySettings
from tests.harness.gateways import patient
from transport.settings.kafka import ClientSettings, load

STOPPED_S: Final = 600.0
"""Longer than a test leaves the process stopped: the time limits go on meanwhile."""


class _StoppingProducer:
    """Stops the process once, at a point of a commit."""

    def __init__(self, stop_at: str) -> None:
        self._stop_at = stop_at
        self._commit = AIOKafkaProducer.commit_transaction

    def reach(self, point: str) -> None:
        if self._stop_at == point:
            self._stop_at = "never"
            os.kill(os.getpid(), signal.SIGSTOP)

    def install(self) -> None:
        async def commit(producer: AIOKafkaProducer) -> None:
            await producer.flush()
            self.reach("written")
            await self._commit(producer)
            self.reach("committed")

        AIOKafkaProducer.commit_transaction = commit


async def _submit(gateway: KafkaGateway, line: dict[str, Any]) -> None:
    request = NewRequest(line["request_id"], line["tenant"], bytes.fromhex(line["payload"]), once=True)
    is_new = await gateway.submit(request)
    results = [each.result["result_id"] async for each in gateway.follow(request.request_id, request.tenant)]
    answered = {"request_id": request.request_id, "is_new": is_new, "results": results}
    sys.stdout.write(json.dumps(answered) + "\n")
    sys.stdout.flush()


async def _main(keys_topic: str, stop_at: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the answers are all that it prints
    _StoppingProducer(stop_at).install()
    lines = [json.loads(line) for line in sys.stdin]
    settings = load(ClientSettings, owns_prefix=False)
    gateway_settings = GatewaySettings(keys_topic=keys_topic, keys_partitions=2)
    with patient(STOPPED_S):
        async with open_gateway(settings, gateway_settings, lambda _: None) as gateway:
            await asyncio.gather(*(_submit(gateway, line) for line in lines))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
