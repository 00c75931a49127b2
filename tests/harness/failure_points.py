"""Instances of the service that die, or stop, exactly at one point of their work.

An instance started with `dying_at` kills itself (SIGKILL) when it reaches the point for the first time. One started
with `stopping_at` stops itself there (SIGSTOP) and goes on when it is thawed. For this, Python imports
`hooks/failure_points/sitecustomize.py` in the instance, which wraps the step in question. Most steps are calls of the
Kafka client: there the effects of the service leave the process, however the service is built.
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

_FOLDER: Final = str(Path(__file__).with_name("hooks") / "failure_points")
_POINT, _SIGNAL = "FAILURE_POINT", "FAILURE_SIGNAL"
_AT_POINT: Final = "failure point reached"


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
    """Return whether an instance has reached a point."""
    return any(event.get("event") == _AT_POINT and event["point"] == point for event in service.events)


def install() -> None:
    """Wrap the step that the environment names; called in the service before it starts to work."""
    point, sign = Point(os.environ[_POINT]), int(os.environ[_SIGNAL])
    reached = False

    def reach() -> None:
        nonlocal reached
        if not reached:
            reached = True
            print(json.dumps({"event": _AT_POINT, "point": point}), file=sys.stderr, flush=True)  # noqa: T201  # goes into its log
            os.kill(os.getpid(), sign)

    _WRAPPERS[point](reach)


def _environment(point: Point, sign: signal.Signals) -> dict[str, str]:
    return {"PYTHONPATH": _FOLDER, _POINT: point, _SIGNAL: str(int(sign))}


_Reach = Callable[[], None]


def _before(owner: Any, name: str, reach: _Reach) -> None:
    step = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        reach()
        return step(*arguments, **options)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, reach: _Reach) -> None:
    step = getattr(owner, name)

    async def wrapped(*arguments: Any, **options: Any) -> Any:
        done = await step(*arguments, **options)
        reach()
        return done

    setattr(owner, name, wrapped)


def _sent(reach: _Reach) -> None:
    """All results are acknowledged, nothing of the offset has left the process."""
    send_offset = AIOKafkaProducer.send_offsets_to_transaction

    async def wrapped(producer: AIOKafkaProducer, *arguments: Any) -> None:
        await producer.flush()
        reach()
        await send_offset(producer, *arguments)

    AIOKafkaProducer.send_offsets_to_transaction = wrapped


def _offset_sent(reach: _Reach) -> None:
    """The offset is acknowledged, nothing of the results has left the process."""
    send_offset, send = AIOKafkaProducer.send_offsets_to_transaction, AIOKafkaProducer.send_batch
    acknowledged = asyncio.Event()

    async def wrapped(producer: AIOKafkaProducer, *arguments: Any) -> None:
        await send_offset(producer, *arguments)
        reach()
        acknowledged.set()

    async def held_back(*arguments: Any, **options: Any) -> Any:
        await acknowledged.wait()
        return await send(*arguments, **options)

    AIOKafkaProducer.send_offsets_to_transaction = wrapped
    AIOKafkaProducer.send_batch = held_back


def _commit_asked(reach: _Reach) -> None:
    """The kernel has the request; the event loop has not read an answer yet."""
    send = EndTxnHandler.do

    async def wrapped(handler: EndTxnHandler, node: int) -> bool:
        client, group = handler._sender.client, handler.group  # nothing public says which requests have left
        sending = asyncio.ensure_future(send(handler, node))
        connection = client._conns[node, group]
        while not connection._requests or connection._writer.transport.get_write_buffer_size():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)
        reach()
        return bool(await sending)

    EndTxnHandler.do = wrapped


def _revoked(reach: _Reach) -> None:
    """The partition is revoked when everything is sent: the lane knows it, and the commit is not requested yet."""
    subscribe, commit, revoke = AIOKafkaConsumer.subscribe, AIOKafkaProducer.commit_transaction, Lane.revoke
    consumers: list[AIOKafkaConsumer] = []
    revoked = asyncio.Event()

    def noted(consumer: AIOKafkaConsumer, *arguments: Any, **options: Any) -> None:
        consumers.append(consumer)
        subscribe(consumer, *arguments, **options)

    async def in_a_rebalance(producer: AIOKafkaProducer) -> None:
        consumers[0]._coordinator.request_rejoin()  # as if another member had come
        await revoked.wait()
        await commit(producer)

    def wrapped(lane: Lane) -> None:
        revoke(lane)
        if lane.in_transaction:
            reach()
            revoked.set()

    AIOKafkaConsumer.subscribe = noted
    AIOKafkaProducer.commit_transaction = in_a_rebalance
    Lane.revoke = wrapped  # type: ignore[method-assign,assignment]  # the wrapper


_WRAPPERS: Final[Mapping[Point, Callable[[_Reach], None]]] = MappingProxyType(
    {
        Point.JOINING: lambda reach: _before(AIOKafkaConsumer, "subscribe", reach),
        Point.ASSIGNED: lambda reach: _before(Lane, "run", reach),
        Point.FENCED: lambda reach: _after(AIOKafkaProducer, "start", reach),
        Point.POSITIONED: lambda reach: _before(AIOKafkaConsumer, "seek", reach),
        Point.CLASSIFIED: lambda reach: _before(AIOKafkaProducer, "begin_transaction", reach),
        Point.SENT: _sent,
        Point.OFFSET_SENT: _offset_sent,
        Point.READY_TO_COMMIT: lambda reach: _before(EndTxnHandler, "do", reach),
        Point.COMMIT_ASKED: _commit_asked,
        Point.COMMIT_ANSWERED: lambda reach: _before(EndTxnHandler, "handle_response", reach),
        Point.COMMITTED: lambda reach: _after(AIOKafkaProducer, "commit_transaction", reach),
        Point.REVOKED: _revoked,
    }
)
