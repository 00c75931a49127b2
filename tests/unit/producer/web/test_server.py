"""The server on a socket: slow and large headers, slow readers, live results, TLS, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from producer.errors import UsageError
from producer.web.gateway.interface import BusyError, Missed, NewRequest
from tests.harness.played_gateway import SEEN, PlayedGateway, answers_to
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT
from tests.harness.web_server import HOST, certificate_files, running_server

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_headers_that_come_too_slowly_end_the_connection() -> None:
    async with running_server(PlayedGateway(), header_s=0.1) as server:
        async with server.connect() as silent, server.connect() as slow:
            await slow.send(b"GET /livez HTTP/1.1\r\nHost:")
            assert await silent.rest() == b""
            assert await slow.rest() == b""
        assert server.connections() == 0


async def test_headers_after_an_answer_have_a_time_limit_too() -> None:
    # Three seconds, since the first request must not be too slow on a busy machine.
    async with running_server(PlayedGateway(), header_s=3) as server, server.connect() as connection:
        await connection.send(ASK)
        await connection.reader.readuntil(b'{"status":"ok"}')
        await connection.send(ASK[:10])
        assert await connection.rest() == b""


@pytest.mark.parametrize(
    "headers",
    [b"X-Large: " + b"a" * 5000 + b"\r\n", b"X: y\r\n" * 1000, b"X-Endless: " + b"a" * 5000],
    ids=["one large", "many small", "without an end"],
)
async def test_a_flood_of_headers_is_refused(headers: bytes) -> None:
    gateway = PlayedGateway()
    async with running_server(gateway, header_bytes=2048) as server, server.connect() as connection:
        await connection.send(HEAD + headers + (b"\r\n" if headers.endswith(b"\r\n") else b""))
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert _body(answer)["code"] == "headers-too-large"
    assert gateway.sent == []


@pytest.mark.parametrize("data", [b"no http\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", HEAD + b"Content-Length: x\r\n\r\n"])
async def test_what_is_no_http_is_a_problem_document(data: bytes) -> None:
    async with running_server(PlayedGateway()) as server, server.connect() as connection:
        await connection.send(data)
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert _body(answer)["code"] == "malformed-request"


async def test_a_body_that_stops_ends_in_a_refusal_and_a_closed_connection() -> None:
    gateway = PlayedGateway()
    async with running_server(gateway, body_s=0.1) as server, server.connect() as connection:
        await connection.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"a" * 10)
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert _body(answer)["code"] == "too-slow"
    assert gateway.sent == []


async def test_the_rest_of_a_refused_body_is_dropped_for_a_limited_time() -> None:
    async with running_server(PlayedGateway(), body_s=0.2) as server, server.connect() as connection:
        await connection.send(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        await connection.send(b"a" * 1000)
        await connection.rest()
        await eventually(lambda: server.connections() == 0)


async def test_a_body_that_ends_early_is_not_sent() -> None:
    gateway = PlayedGateway()
    async with running_server(gateway) as server:
        async with server.connect() as connection:
            await connection.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"a" * 10)
            await eventually(lambda: server.connections() == 1)
        await eventually(lambda: server.connections() == 0)
    assert gateway.sent == []


async def test_a_reader_that_takes_nothing_is_disconnected() -> None:
    gateway = PlayedGateway()
    request = NewRequest("r", "anonymous", DIGIT, filename="x" * 100_000)
    gateway.live_items = answers_to(request, 1) * 200
    options = {"limit": 1, "family": socket.AF_INET}
    async with running_server(gateway, write_s=0.1) as server:
        async with server.connect(**options) as connection:
            await connection.send(b"GET /results HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: gateway.live_begun == 1)
            await eventually(lambda: server.connections() == 0)
        await eventually(lambda: gateway.live_readers == 0)


async def test_more_connections_than_allowed_are_refused_at_once() -> None:
    async with running_server(PlayedGateway(), connections=1) as server, server.connect() as first:
        await first.send(ASK)
        await first.reader.readuntil(b'{"status":"ok"}')
        async with server.connect() as second:
            answer = await second.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer.lower()
        assert _body(answer)["code"] == "busy"
        await first.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'digits_http_refusals_total{code="busy"} 1.0' in await first.rest()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_client_sees_that_its_connection_is_one_too_many(scheme: str, tmp_path: Path) -> None:
    chain, key, authority = certificate_files(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority)) if scheme == "https" else None
    listen: dict[str, Any] = {"cert_file": chain, "key_file": key} if trusting else {}
    async with (
        running_server(PlayedGateway(), connections=1, **listen) as server,
        server.connect(ssl=trusting) as first,
        aiohttp.ClientSession() as client,
    ):
        await first.send(ASK)
        await first.reader.readuntil(b'{"status":"ok"}')
        response = await client.get(f"{scheme}://{HOST}:{server.port}/livez", ssl=trusting or True)
        assert response.status == 503
        assert (await response.json())["code"] == "busy"
        assert server.connections() == 1


async def test_live_results_are_events_with_their_position() -> None:
    gateway = PlayedGateway()
    (answer,) = answers_to(NewRequest("r", "anonymous", DIGIT), 7)
    gateway.live_items = [answer, Missed(3)]
    async with running_server(gateway) as server:
        async with aiohttp.ClientSession() as client, client.get(f"{server.url}/v1/results") as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            events = [await response.content.readuntil(b"\n\n") for _ in range(3)]
        await eventually(lambda: gateway.live_readers == 0)
    assert events[0] == b"retry: 2000\n\n"
    name, position, data = events[1].decode().strip().split("\n")
    assert (name, position) == ("event: result", "id: 0:700")
    assert json.loads(data.removeprefix("data: "))["request_id"] == "r"
    assert events[2] == b'event: lost\ndata: {"count":3}\n\n'


@pytest.mark.parametrize(("query", "shown"), [("", None), ("?seen=true", SEEN)])
async def test_live_results_have_what_the_model_saw_only_if_the_reader_asks(query: str, shown: str | None) -> None:
    gateway = PlayedGateway()
    gateway.live_items = answers_to(NewRequest("r", "anonymous", DIGIT, seen=True), 7)
    async with (
        running_server(gateway) as server,
        aiohttp.ClientSession() as client,
        client.get(f"{server.url}/v1/results{query}") as response,
    ):
        _, event = [await response.content.readuntil(b"\n\n") for _ in range(2)]
    assert json.loads(event.decode().partition("data: ")[2]).get("seen") == shown


async def test_too_many_live_readers_are_refused_before_the_stream_begins() -> None:
    gateway = PlayedGateway(live_refusal=BusyError("There are too many readers.", 5))
    async with running_server(gateway) as server, aiohttp.ClientSession() as client:
        response = await client.get(f"{server.url}/results")
        assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_the_server_ends_its_streams_when_it_stops() -> None:
    async with running_server(PlayedGateway(), stop_s=60) as server, aiohttp.ClientSession() as client:
        response = await client.get(f"{server.url}/results")
        await response.content.readuntil(b"\n\n")
        server.stop()
        assert await response.content.read() == b""


async def test_a_waiting_request_is_answered_before_the_server_ends() -> None:
    gateway = PlayedGateway(hold=True)
    async with running_server(gateway) as server, aiohttp.ClientSession() as client:
        waiting = asyncio.create_task(client.post(f"{server.url}/predict", data=DIGIT))
        await eventually(lambda: gateway.following == 1)
        server.stop()
        gateway.release()
        assert (await waiting).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_in_order(number: signal.Signals) -> None:
    async with running_server(PlayedGateway()) as server, aiohttp.ClientSession() as client:
        response = await client.get(f"{server.url}/results")
        await response.content.readuntil(b"\n\n")
        os.kill(os.getpid(), number)
        assert await response.content.read() == b""


async def test_the_files_of_a_certificate_make_the_server_speak_tls(tmp_path: Path) -> None:
    chain, key, authority = certificate_files(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority))
    listen: dict[str, Any] = {"cert_file": chain, "key_file": key}
    async with running_server(PlayedGateway(), **listen) as server, aiohttp.ClientSession() as client:
        response = await client.get(f"https://{HOST}:{server.port}/livez", ssl=trusting)
        assert response.status == 200
        assert "max-age" in response.headers["Strict-Transport-Security"]


async def test_a_taken_port_is_reported_in_one_sentence() -> None:
    async with running_server(PlayedGateway()) as first:
        with pytest.raises(UsageError, match="cannot listen"):
            async with running_server(PlayedGateway(), port=first.port):
                pass


def _body(answer: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document
