"""Sends HTTP requests and times their answers: a process of its own, which takes as little of the machine as it can.

It writes requests that are ready as bytes, and parses answers by httptools: about 20 µs of processor time a request,
where aiohttp's client takes 200, which would be taken from the servers that are measured.

closed   each connection sends its next request when the last one is answered
open     requests go out on a timetable, each on a connection that is free, whether others are answered or not

Run by `measure`. The argument is a `Plan`, the output an `Outcome`, both as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httptools
import msgspec
import numpy as np
import uvloop

from broker.probe import HOST

TICK_S: Final = 0.001
GRACE_S: Final = 20.0
"""For the last answers of an open timetable."""
START_S: Final = 60.0
"""For the start of the process and its connections."""
MARK: Final = b'"digit"'
REFUSED: Final = frozenset({429, 503})
OK: Final = 200


class Plan(msgspec.Struct):
    """What to send."""

    port: int
    requests_file: str
    """Whole requests, as a list in MessagePack; they are sent one after the other, again and again."""
    connections: int
    seconds: float
    warm_up_s: float
    rate: float | None = None
    """Requests per second of an open timetable; None: closed."""
    marks: int = 1
    """How often ``"digit"`` must be in an answer 200."""


class Times(msgspec.Struct):
    """How long answers of a kind took."""

    count: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class Outcome(msgspec.Struct):
    """What came back."""

    per_s: float
    """Answers 200 per second."""
    served: int
    """Answers 200 in all, with those of the warm-up."""
    answered: Times
    refused: Times
    """Answers 429 and 503."""
    others: dict[int, int]
    """Number of answers by another status."""
    wrong: int
    """Answers 200 without the expected digits, and refusals without ``Retry-After``."""
    broken: int
    """Connections that the server has closed before an answer."""
    unsent: int
    """Requests of an open timetable for which no connection was free."""
    own_cpu_percent: float
    """What this process takes of a core. Near 100 the times are its own, not those of the server."""


class Load:
    """All connections, and what came back. Owner: the event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.free: deque[Connection] = deque()
        self.taken: dict[int, list[float]] = {}
        self.wrong = self.broken = self.unsent = self.under_way = self.served = 0
        self.begin_s = self.end_s = 0.0
        self._requests: Iterator[bytes] = itertools.cycle(
            msgspec.msgpack.decode(Path(plan.requests_file).read_bytes(), type=list[bytes])
        )

    async def run(self) -> Outcome:
        """Send everything, and wait for the answers."""
        await asyncio.gather(*(self.connect() for _ in range(self.plan.connections)))
        self.begin_s = time.perf_counter() + self.plan.warm_up_s
        self.end_s = self.begin_s + self.plan.seconds
        used_s, began_s = time.process_time(), time.perf_counter()
        await (self._closed() if self.plan.rate is None else self._open(self.plan.rate))
        share = (time.process_time() - used_s) / (time.perf_counter() - began_s)
        deadline_s = time.perf_counter() + GRACE_S
        while self.under_way and time.perf_counter() < deadline_s:  # noqa: ASYNC110  # once, at the end
            await asyncio.sleep(TICK_S)
        refused = [took for status in REFUSED for took in self.taken.pop(status, [])]
        answered = self.taken.pop(OK, [])
        return Outcome(
            per_s=len(answered) / self.plan.seconds,
            served=self.served,
            answered=_times(answered),
            refused=_times(refused),
            others={status: len(took) for status, took in self.taken.items()},
            wrong=self.wrong,
            broken=self.broken + self.under_way,
            unsent=self.unsent,
            own_cpu_percent=share * 100,
        )

    async def connect(self) -> None:
        """Open one more connection."""
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), HOST, self.plan.port
            )
        except OSError:
            self.broken += 1
        else:
            self.free.append(connection)

    def next_request(self) -> bytes:
        """Return the next request."""
        return next(self._requests)

    def note(self, status: int, began_s: float, *, is_right: bool) -> None:
        """Count an answer, unless it belongs to the warm-up or came too late to count for the rate."""
        now_s = time.perf_counter()
        self.served += status == OK
        if began_s < self.begin_s or (now_s > self.end_s and self.plan.rate is None):
            return
        self.taken.setdefault(status, []).append(now_s - began_s)
        self.wrong += not is_right

    async def _closed(self) -> None:
        while self.free:
            self.free.popleft().send()
        while time.perf_counter() < self.end_s:
            await asyncio.sleep(TICK_S * 50)
            while self.free:
                self.free.popleft().send()

    async def _open(self, rate: float) -> None:
        began_s, sent = time.perf_counter(), 0
        while (now_s := time.perf_counter()) < self.end_s:
            due = int((now_s - began_s) * rate)
            while sent < due:
                sent += 1
                if self.free:
                    self.free.popleft().send()
                else:
                    self.unsent += now_s >= self.begin_s
            await asyncio.sleep(TICK_S)


class Connection(asyncio.Protocol):
    """A connection that is kept open. Owner: the event loop."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._began_s = 0.0
        self._marks = 0
        self._rest = b""
        self._may_repeat = False
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def send(self) -> None:
        """Send the next request."""
        self._began_s = time.perf_counter()
        self._marks, self._rest, self._may_repeat, self._waits = 0, b"", False, True
        self._load.under_way += 1
        self._transport.write(self._load.next_request())  # type: ignore[attr-defined]  # set when it connects

    def data_received(self, data: bytes) -> None:
        """Parse an answer."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Look for ``Retry-After``."""
        if name.lower() == b"retry-after":
            self._may_repeat = True

    def on_body(self, body: bytes) -> None:
        """Count the digits."""
        body = self._rest + body
        self._marks += body.count(MARK)
        self._rest = body[1 - len(MARK) :]  # a mark may be cut by the end of a piece

    def on_message_complete(self) -> None:
        """Note the answer; on a closed plan, send the next request."""
        status = self._parser.get_status_code()
        is_right = self._marks == self._load.plan.marks if status == OK else status not in REFUSED or self._may_repeat
        self._waits = False
        self._load.under_way -= 1
        self._load.note(status, self._began_s, is_right=is_right)
        if self._load.plan.rate is None and time.perf_counter() < self._load.end_s:
            self.send()
        elif self._load.plan.rate is not None:
            self._load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Open another connection if the server has closed this one."""
        del exc
        if self._waits:
            self._load.under_way -= 1
            self._load.broken += 1
        if self in self._load.free:
            self._load.free.remove(self)
        if time.perf_counter() < self._load.end_s:
            self._reconnecting = asyncio.ensure_future(self._load.connect())


def _times(taken_s: list[float]) -> Times:
    if not taken_s:
        return Times()
    p50, p99, worst = (float(np.percentile(taken_s, q)) * 1000 for q in (50, 99, 100))
    return Times(len(taken_s), p50, p99, worst)


async def measure(plan: Plan) -> Outcome:
    """Run a plan in a process of its own.

    Raises
    ------
    RuntimeError
        That process failed.
    TimeoutError
        It did not end in time.
    """
    limit_s = plan.warm_up_s + plan.seconds + GRACE_S + START_S
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.http.load", msgspec.json.encode(plan).decode(), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with exit code {process.returncode}")
    return msgspec.json.decode(output, type=Outcome)


if __name__ == "__main__":
    print(msgspec.json.encode(uvloop.run(Load(msgspec.json.decode(sys.argv[1], type=Plan)).run())).decode())
