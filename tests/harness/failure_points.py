"""Instances of the service that die, or stop, exactly at one point of their work.

An instance started with `dying_at` kills itself (SIGKILL) when it reaches the point for the first time. One started
with `stopping_at` stops itself there (SIGSTOP) and goes on when it is thawed. For this, Python imports
`hooks/failure_points/sitecustomize.py` in the instance, which wraps the step in question. The steps of a transaction
are its requests: there the effects of the service leave the process.

An instance may have committed transactions before it reaches a point: `after_commits`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from consumer.partitions.lane import Lane
from tests.harness.hooked import hooked
from tests.harness.service import Service
from transport.internals import connection_to
from transport.protocol.requests import Prepared, codes_of
from transport.sink.connections import SinkConnections
from transport.sink.producer import TransactionalProducer
from transport.source.fetching import Fetching

_FOLDER: Final = hooked("failure_points")
_POINT, _SIGNAL, _AFTER_COMMITS = "FAILURE_POINT", "FAILURE_SIGNAL", "FAILURE_AFTER_COMMITS"
_AT_POINT: Final = "failure point reached"


class Point(StrEnum):
    """Where an instance may die, in the order in which it gets there."""

    JOINING = "before-it-joins-the-group"
    ASSIGNED = "when-the-partition-is-given"
    POSITIONED = "between-committed-offset-and-first-fetch"
    CLASSIFIED = "before-the-transaction"
    EPOCH = "when-it-has-an-epoch"
    RESULTS_ASKED = "when-results-are-sent"
    RESULTS_SENT = "when-results-are-acknowledged-before-offsets"
    OFFSETS_SENT = "when-offsets-are-acknowledged-before-results"
    READY_TO_COMMIT = "before-the-commit-is-asked-for"
    COMMIT_ASKED = "when-the-commit-is-asked-for"
    COMMIT_ANSWERED = "when-the-commit-is-answered-and-the-answer-not-read"
    COMMITTED = "after-commit"
    REVOKED = "in-the-revoke-callback"


def dying_at(point: Point, *, after_commits: int = 0) -> dict[str, str]:
    """Return the environment of an instance that kills itself at a point."""
    return _environment(point, signal.SIGKILL, after_commits)


def stopping_at(point: Point, *, after_commits: int = 0) -> dict[str, str]:
    """Return the environment of an instance that stops itself at a point, once."""
    return _environment(point, signal.SIGSTOP, after_commits)


def is_at(point: Point, service: Service) -> bool:
    """Return whether an instance has reached a point."""
    return any(event.get("event") == _AT_POINT and event["point"] == point for event in service.events)


def install() -> None:
    """Wrap the step that the environment names; called in the service before it starts to work."""
    point = Point(os.environ[_POINT])
    reach = _Reach(point, int(os.environ[_SIGNAL]), int(os.environ[_AFTER_COMMITS]))
    _WRAPPERS[point](reach)
    _before(TransactionalProducer, "commit", reach.count_commit)  # last, so that it is called first


class _Reach:
    """Kills or stops the process when it is called for the first time after some transactions."""

    def __init__(self, point: Point, sign: int, after_commits: int) -> None:
        self._point = point
        self._sign = sign
        self._commits_left = after_commits + 1 if after_commits else 0
        self._reached = False

    def count_commit(self) -> None:
        """Count a transaction that begins."""
        self._commits_left -= 1

    @property
    def is_armed(self) -> bool:
        """True if the transactions before the point are done."""
        return self._commits_left <= 0 and not self._reached

    @property
    def was_reached(self) -> bool:
        """True once the instance has stopped there, and goes on."""
        return self._reached

    def __call__(self) -> None:
        if self.is_armed:
            self._reached = True
            print(json.dumps({"event": _AT_POINT, "point": self._point}), file=sys.stderr, flush=True)  # noqa: T201  # goes into its log
            os.kill(os.getpid(), self._sign)


def _environment(point: Point, sign: signal.Signals, after_commits: int) -> dict[str, str]:
    return {"PYTHONPATH": _FOLDER, _POINT: point, _SIGNAL: str(int(sign)), _AFTER_COMMITS: str(after_commits)}


HELD_S = 5.0

_Send = Callable[[], Awaitable[Any]]


def _before(owner: Any, name: str, reach: Callable[[], None]) -> None:
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


def _around(wrappers: Mapping[int, Callable[[SinkConnections, int, _Send], Awaitable[Any]]]) -> None:
    """Wrap requests of transactions, by their keys."""
    send = SinkConnections.send

    async def wrapped(connections: SinkConnections, node: int, request: Prepared) -> Any:
        wrapper = wrappers.get(request.struct.API_KEY)
        if wrapper is None:
            return await send(connections, node, request)
        return await wrapper(connections, node, lambda: send(connections, node, request))

    SinkConnections.send = wrapped  # type: ignore[method-assign,assignment]  # the wrapper


def _is_accepted(answer: Any) -> bool:
    """Return whether a request has had its effect. A refused one is repeated: the last markers were not written yet."""
    return not (any(codes_of(answer).values()) if hasattr(answer, "topics") else answer.error_code)


def _before_request(key: int) -> Callable[[_Reach], None]:
    def install_(reach: _Reach) -> None:
        async def wrapper(_: SinkConnections, __: int, send: _Send) -> Any:
            reach()
            return await send()

        _around({key: wrapper})

    return install_


def _when_answered(key: int) -> Callable[[_Reach], None]:
    """The answer has come, and the service has not read it."""

    def install_(reach: _Reach) -> None:
        async def wrapper(_: SinkConnections, __: int, send: _Send) -> Any:
            answer = await send()
            if _is_accepted(answer):
                reach()
            return answer

        _around({key: wrapper})

    return install_


def _when_asked(key: int, *others: int) -> Callable[[_Reach], None]:
    """The kernel has the request; the event loop has not read an answer yet. Others are held back until then."""

    def install_(reach: _Reach) -> None:
        gone_on = asyncio.Event()

        async def wrapper(connections: SinkConnections, node: int, send: _Send) -> Any:
            if not reach.is_armed:
                return await send()
            connection: Any = await connection_to(connections._client, node, connections._use)
            sending = asyncio.ensure_future(send())
            while not connection._requests or connection._writer.transport.get_write_buffer_size():  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0)
            reach()
            gone_on.set()
            return await sending

        async def held_back(_: SinkConnections, __: int, send: _Send) -> Any:
            if reach.is_armed:
                await gone_on.wait()
            return await send()

        _around(dict.fromkeys(others, held_back) | {key: wrapper})

    return install_


def _one_before_the_other(first: int, second: int) -> Callable[[_Reach], None]:
    """The first request is acknowledged, nothing of the second has left the process."""

    def install_(reach: _Reach) -> None:
        acknowledged = asyncio.Event()

        async def first_one(_: SinkConnections, __: int, send: _Send) -> Any:
            answer = await send()
            if _is_accepted(answer):
                reach()
                acknowledged.set()
            return answer

        async def held_back(_: SinkConnections, __: int, send: _Send) -> Any:
            if not reach.was_reached:
                with contextlib.suppress(TimeoutError):  # it may be repeated, and then nothing is acknowledged again
                    async with asyncio.timeout(HELD_S):
                        await acknowledged.wait()
                acknowledged.clear()
            return await send()

        _around({first: first_one, second: held_back})

    return install_


def _revoked(reach: _Reach) -> None:
    """The partition is revoked when everything is sent: the lane knows it, and the commit is not requested yet."""
    subscribe, revoke = AIOKafkaConsumer.subscribe, Lane.revoke
    consumers: list[AIOKafkaConsumer] = []
    revoked = asyncio.Event()

    def noted(consumer: AIOKafkaConsumer, *arguments: Any, **options: Any) -> None:
        consumers.append(consumer)
        subscribe(consumer, *arguments, **options)

    async def in_a_rebalance(_: SinkConnections, __: int, send: _Send) -> Any:
        if not reach.is_armed:
            return await send()
        consumers[0]._coordinator.request_rejoin()  # as if another member had come
        await revoked.wait()
        return await send()

    def wrapped(lane: Lane) -> None:
        revoke(lane)
        if lane.in_transaction:
            reach()
            revoked.set()

    AIOKafkaConsumer.subscribe = noted
    _around({END_TXN: in_a_rebalance})
    Lane.revoke = wrapped  # type: ignore[method-assign,assignment]  # the wrapper


PRODUCE, END_TXN, TXN_OFFSET_COMMIT, INIT_PRODUCER_ID = 0, 26, 28, 22

_WRAPPERS: Final[Mapping[Point, Callable[[_Reach], None]]] = MappingProxyType(
    {
        Point.JOINING: lambda reach: _before(AIOKafkaConsumer, "subscribe", reach),
        Point.ASSIGNED: lambda reach: _before(Lane, "run", reach),
        Point.POSITIONED: lambda reach: _before(Fetching, "open", reach),
        Point.CLASSIFIED: lambda reach: _before(TransactionalProducer, "commit", reach),
        Point.EPOCH: _when_answered(INIT_PRODUCER_ID),
        Point.RESULTS_ASKED: _when_asked(PRODUCE, TXN_OFFSET_COMMIT),
        Point.RESULTS_SENT: _one_before_the_other(PRODUCE, TXN_OFFSET_COMMIT),
        Point.OFFSETS_SENT: _one_before_the_other(TXN_OFFSET_COMMIT, PRODUCE),
        Point.READY_TO_COMMIT: _before_request(END_TXN),
        Point.COMMIT_ASKED: _when_asked(END_TXN),
        Point.COMMIT_ANSWERED: _when_answered(END_TXN),
        Point.COMMITTED: lambda reach: _after(TransactionalProducer, "commit", reach),
        Point.REVOKED: _revoked,
    }
)
