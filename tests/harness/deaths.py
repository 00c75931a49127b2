"""Instances that end, or stop, exactly at one point of their work.

An instance started with `dying_at` kills itself (SIGKILL) when it gets to the point for the first time. One started
with `stopping_at` stops itself there (SIGSTOP), and goes on from there when it is thawed. Python imports
`mortal/sitecustomize.py` in it, which lays a trap around the step in question. Most steps are calls of the Kafka
client: there the service's doings leave the process, however it is built inside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.sender import EndTxnHandler

from consumer.partitions.lane import Lane
from tests.harness.service import Service

_FOLDER: Final = str(Path(__file__).with_name("mortal"))
_POINT, _SIGNAL = "MORTAL_AT", "MORTAL_BY"
_AT_POINT: Final = "at the point"


class Point(StrEnum):
    """Where an instance may die, in the order in which it gets there."""

    JOINING = "before-it-joins-the-group"
    ASSIGNED = "when-the-partition-is-given"
    FENCED = "after-the-fencing-start"
    POSITIONED = "between-committed-offset-and-first-fetch"
    CLASSIFIED = "before-begin"
    SENT = "after-send"
    OFFSET_SENT = "after-offsets"
    READY_TO_COMMIT = "before-the-commit-is-asked-for"
    COMMIT_ASKED = "when-the-commit-is-asked-for"
    COMMIT_ANSWERED = "when-the-commit-is-answered-and-the-answer-not-read"
    COMMITTED = "after-commit"
    REVOKED = "in-the-revoke-callback"


def dying_at(point: Point) -> dict[str, str]:
    """Return the environment of an instance that kills itself at a point."""
    return _environment(point, signal.SIGKILL)


def stopping_at(point: Point) -> dict[str, str]:
    """Return the environment of an instance that stops itself at a point, once."""
    return _environment(point, signal.SIGSTOP)


def is_at(point: Point, service: Service) -> bool:
    """Tell whether an instance has come to a point."""
    return any(event.get("event") == _AT_POINT and event["point"] == point for event in service.events)


def lie_in_wait() -> None:
    """In the service, before it starts to work."""
    point, sign = Point(os.environ[_POINT]), int(os.environ[_SIGNAL])
    met = False

    def meet() -> None:
        nonlocal met
        if not met:
            met = True
            print(json.dumps({"event": _AT_POINT, "point": point}), file=sys.stderr, flush=True)  # noqa: T201  # into its log
            os.kill(os.getpid(), sign)

    _TRAPS[point](meet)


def _environment(point: Point, sign: signal.Signals) -> dict[str, str]:
    return {"PYTHONPATH": _FOLDER, _POINT: point, _SIGNAL: str(int(sign))}


_Meet = Callable[[], None]


def _before(owner: Any, name: str, meet: _Meet) -> None:
    step = getattr(owner, name)

    def trapped(*arguments: Any, **options: Any) -> Any:
        meet()
        return step(*arguments, **options)

    setattr(owner, name, trapped)


def _after(owner: Any, name: str, meet: _Meet) -> None:
    step = getattr(owner, name)

    async def trapped(*arguments: Any, **options: Any) -> Any:
        done = await step(*arguments, **options)
        meet()
        return done

    setattr(owner, name, trapped)


def _sent(meet: _Meet) -> None:
    """All results are acknowledged, nothing of the offset has left the process."""
    send_offset = AIOKafkaProducer.send_offsets_to_transaction

    async def trapped(producer: AIOKafkaProducer, *arguments: Any) -> None:
        await producer.flush()
        meet()
        await send_offset(producer, *arguments)

    AIOKafkaProducer.send_offsets_to_transaction = trapped


def _offset_sent(meet: _Meet) -> None:
    """The offset is acknowledged, nothing of the results has left the process."""
    send_offset, send = AIOKafkaProducer.send_offsets_to_transaction, AIOKafkaProducer.send_batch
    acknowledged = asyncio.Event()

    async def trapped(producer: AIOKafkaProducer, *arguments: Any) -> None:
        await send_offset(producer, *arguments)
        meet()
        acknowledged.set()

    async def held_back(*arguments: Any, **options: Any) -> Any:
        await acknowledged.wait()
        return await send(*arguments, **options)

    AIOKafkaProducer.send_offsets_to_transaction = trapped
    AIOKafkaProducer.send_batch = held_back


def _commit_asked(meet: _Meet) -> None:
    """The request is in the kernel's hands; the loop has not come to look for an answer."""
    send = EndTxnHandler.do

    async def trapped(handler: EndTxnHandler, node: int) -> bool:
        client, group = handler._sender.client, handler.group  # nothing public tells what has left
        sending = asyncio.ensure_future(send(handler, node))
        connection = client._conns[node, group]
        while not connection._requests or connection._writer.transport.get_write_buffer_size():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0)
        meet()
        return bool(await sending)

    EndTxnHandler.do = trapped


def _revoked(meet: _Meet) -> None:
    """The partition is revoked while everything is sent: the lane has been told, the commit not yet asked for."""
    subscribe, commit, revoke = AIOKafkaConsumer.subscribe, AIOKafkaProducer.commit_transaction, Lane.revoke
    consumers: list[AIOKafkaConsumer] = []
    told = asyncio.Event()

    def noted(consumer: AIOKafkaConsumer, *arguments: Any, **options: Any) -> None:
        consumers.append(consumer)
        subscribe(consumer, *arguments, **options)

    async def in_a_rebalance(producer: AIOKafkaProducer) -> None:
        consumers[0]._coordinator.request_rejoin()  # as if another member had come
        await told.wait()
        await commit(producer)

    def trapped(lane: Lane) -> None:
        revoke(lane)
        if lane.in_transaction:
            meet()
            told.set()

    AIOKafkaConsumer.subscribe = noted
    AIOKafkaProducer.commit_transaction = in_a_rebalance
    Lane.revoke = trapped  # type: ignore[method-assign,assignment]  # the trap


_TRAPS: Final[Mapping[Point, Callable[[_Meet], None]]] = MappingProxyType(
    {
        Point.JOINING: lambda meet: _before(AIOKafkaConsumer, "subscribe", meet),
        Point.ASSIGNED: lambda meet: _before(Lane, "run", meet),
        Point.FENCED: lambda meet: _after(AIOKafkaProducer, "start", meet),
        Point.POSITIONED: lambda meet: _before(AIOKafkaConsumer, "seek", meet),
        Point.CLASSIFIED: lambda meet: _before(AIOKafkaProducer, "begin_transaction", meet),
        Point.SENT: _sent,
        Point.OFFSET_SENT: _offset_sent,
        Point.READY_TO_COMMIT: lambda meet: _before(EndTxnHandler, "do", meet),
        Point.COMMIT_ASKED: _commit_asked,
        Point.COMMIT_ANSWERED: lambda meet: _before(EndTxnHandler, "handle_response", meet),
        Point.COMMITTED: lambda meet: _after(AIOKafkaProducer, "commit_transaction", meet),
        Point.REVOKED: _revoked,
    }
)
