"""How requests are started, and refused while many others are under way."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from producer.web import starting
from producer.web.protocol import LimitedProtocol
from producer.web.starting import LOW_SHARE, PER_TURN, PER_TURN_OVERLOADED, Starting
from tests.harness.played_gateway import PlayedGateway
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT
from tests.harness.web_server import running_server

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(DIGIT)
ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
BUSY = b'"code":"busy"}'


async def test_requests_start_in_their_order_and_a_few_in_each_turn_of_the_event_loop() -> None:
    started: list[int] = []
    waiting = Starting(99, lambda _: None)
    for number in range(PER_TURN + 2):
        waiting.add(lambda number=number: started.append(number))  # type: ignore[misc]  # a default is no parameter
    assert started == []
    await asyncio.sleep(0)
    assert started == list(range(PER_TURN))
    await asyncio.sleep(0)
    assert started == list(range(PER_TURN + 2))
    waiting.add(lambda: started.append(-1))
    await eventually(lambda: started[-1] == -1)


async def test_requests_count_until_they_are_started_and_from_the_end_of_the_body_to_that_of_the_answer() -> None:
    waiting = Starting(1, lambda _: None)
    pieces: asyncio.Queue[Message] = asyncio.Queue()
    answering = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await receive()
        await answering.wait()

    async def send(_message: Message) -> None: ...

    waiting.add(lambda: None)
    assert waiting.is_full
    await eventually(lambda: not waiting.is_full)
    running = asyncio.create_task(waiting.run(app, {}, pieces.get, send))  # type: ignore[arg-type]  # own types
    pieces.put_nowait({"type": "http.request", "body": b"1", "more_body": True})
    await eventually(pieces.empty)
    assert not waiting.is_full
    for _ in range(2):
        pieces.put_nowait({"type": "http.request", "body": b"2", "more_body": False})
    await eventually(lambda: waiting.under_way == 1)
    assert waiting.is_full
    answering.set()
    await running
    assert waiting.under_way == 0


async def test_once_requests_are_refused_fewer_are_taken_until_none_was_refused_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "CALM_S", 3600.0)
    waiting = Starting(2 * LOW_SHARE, lambda _: None)
    started: list[int] = []
    for number in range(2 * LOW_SHARE - 1):
        assert not waiting.is_full, "until one is refused, as many may wait as the high watermark says"
        waiting.add(lambda number=number: started.append(number))  # type: ignore[misc]  # a default is no parameter
    waiting.note_refused("other")  # a connection
    assert not waiting.is_full
    waiting.note_refused("POST")
    assert waiting.is_full
    seen_full: list[tuple[bool, bool]] = []

    def note() -> None:
        seen_full.append((waiting.under_way >= 2, waiting.is_full))
        if waiting.under_way:
            asyncio.get_running_loop().call_soon(note)

    monkeypatch.setattr(starting, "PER_TURN_OVERLOADED", 1)
    note()
    await eventually(lambda: not waiting.under_way)
    assert [full for _, full in seen_full] == [many for many, _ in seen_full], "the low watermark is 2"
    assert {full for _, full in seen_full} == {True, False}
    for number in range(2 * LOW_SHARE - 1):
        waiting.add(lambda number=number: started.append(number))
    assert waiting.is_full
    monkeypatch.setattr(starting, "CALM_S", 0.0)
    assert not waiting.is_full, "the overload is over"


async def test_an_overloaded_server_starts_fewer_requests_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "CALM_S", 3600.0)
    started: list[int] = []
    waiting = Starting(99, lambda _: None)
    waiting.note_refused("POST")
    for number in range(PER_TURN_OVERLOADED + 1):
        waiting.add(lambda number=number: started.append(number))  # type: ignore[misc]  # a default is no parameter
    await asyncio.sleep(0)
    assert started == list(range(PER_TURN_OVERLOADED))
    await asyncio.sleep(0)
    assert started == list(range(PER_TURN_OVERLOADED + 1))


async def test_refusals_have_one_line_of_the_log_for_all_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "LOG_INTERVAL_S", 0.01)
    counted: list[str] = []
    waiting = Starting(99, counted.append)
    with capture_logs() as lines:
        for _ in range(3):
            waiting.note_refused("POST")
        await eventually(lambda: len(lines) == 1)
        waiting.note_refused("POST")
        await eventually(lambda: len(lines) == 2)
    assert [(line["event"], line["code"], line["count"]) for line in lines] == [
        ("requests refused", "busy", 3),
        ("requests refused", "busy", 1),
    ]
    assert len(counted) == 4


async def test_a_full_server_refuses_by_the_headers_and_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = PlayedGateway()
    async with running_server(gateway) as server, server.connect() as connection:
        monkeypatch.setattr(Starting, "is_full", True)
        for _ in range(2):
            await connection.send(HEAD + LENGTH)
            head = await connection.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nretry-after: 1\r\n" in head.lower()
            await connection.reader.readuntil(BUSY)
            await connection.send(DIGIT)  # the body of the refused request, which is dropped
        await connection.send(ASK)
        await connection.reader.readuntil(b'{"status":"ok"}')
        monkeypatch.setattr(Starting, "is_full", False)
        await connection.send(HEAD + LENGTH + DIGIT)
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await connection.reader.readuntil(b"}")
        await connection.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        metrics = await connection.rest()
    assert [request.payload for request in gateway.sent] == [DIGIT]
    assert b'digits_http_refusals_total{code="busy"} 2.0' in metrics


async def test_a_request_that_arrives_whole_is_refused_unparsed_and_the_next_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unparsed: list[LimitedProtocol] = []
    refuse = LimitedProtocol._refuse_unparsed

    def note(protocol: LimitedProtocol) -> None:
        unparsed.append(protocol)
        refuse(protocol)

    monkeypatch.setattr(LimitedProtocol, "_refuse_unparsed", note)
    monkeypatch.setattr(Starting, "is_full", True)
    gateway = PlayedGateway()
    async with running_server(gateway, header_s=0.2) as server, server.connect() as connection:
        for count in (1, 2):
            await connection.send(HEAD + LENGTH + DIGIT)
            head = await connection.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            await connection.reader.readuntil(BUSY)
            assert len(unparsed) == count
        (protocol, _) = unparsed
        assert protocol._header_timer is None, "the client has sent its headers in time"
        assert protocol.timeout_keep_alive_task is not None, "an idle connection does not stay"
        await connection.send(HEAD + LENGTH)  # in two pieces: it is parsed
        await connection.reader.readuntil(BUSY)
        await connection.send(DIGIT)
        monkeypatch.setattr(Starting, "is_full", False)
        await connection.send(HEAD + LENGTH + DIGIT)
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert len(unparsed) == 2
    assert len(gateway.sent) == 1


async def test_a_connection_that_is_idle_after_a_refusal_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Starting, "is_full", True)
    async with running_server(PlayedGateway(), keep_alive_s=1) as server, server.connect() as connection:
        await connection.send(HEAD + LENGTH + DIGIT)
        assert (await connection.rest()).endswith(BUSY)


async def test_a_refused_client_that_wants_to_close_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Starting, "is_full", True)
    async with running_server(PlayedGateway()) as server, server.connect() as connection:
        await connection.send(HEAD + b"Connection: close\r\n" + LENGTH + DIGIT)
        answer = await connection.rest()
        assert answer.endswith(BUSY)
        await eventually(lambda: server.connections() == 0)


async def test_a_refused_body_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Starting, "is_full", True)
    async with running_server(PlayedGateway(), body_s=0.1) as server, server.connect() as connection:
        await connection.send(HEAD + LENGTH + DIGIT[:10])
        assert (await connection.rest()).endswith(BUSY)
        await eventually(lambda: server.connections() == 0)


async def test_a_request_whose_client_is_gone_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Starting] = []
    start_some = Starting._start_some

    def hold(waiting: Starting) -> None:
        held.append(waiting)

    monkeypatch.setattr(Starting, "_start_some", hold)
    gateway = PlayedGateway()
    async with running_server(gateway) as server:
        async with server.connect() as connection:
            await connection.send(HEAD + LENGTH + DIGIT)
            await eventually(lambda: held)
        await eventually(lambda: server.connections() == 0)
        monkeypatch.undo()
        start_some(held[0])
        assert not held[0]._waiting
    assert gateway.sent == []


async def test_beyond_the_number_at_once_a_request_is_refused_until_another_is_answered() -> None:
    gateway = PlayedGateway(hold=True)
    async with running_server(gateway, at_once=1) as server, server.connect() as first, server.connect() as second:
        await first.send(HEAD + LENGTH + DIGIT)
        await eventually(lambda: gateway.following == 1)
        await second.send(HEAD + LENGTH + DIGIT)
        await second.reader.readuntil(BUSY)
        gateway.release()
        assert (await first.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await eventually(lambda: gateway.following == 0)
        await second.send(HEAD + LENGTH + DIGIT)
        assert (await second.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert len(gateway.sent) == 2
