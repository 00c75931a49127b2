"""Requests that are made to do harm: each is refused by name, and nothing of it is held.

Bodies, forms and headers have more tests in `test_uploads` and `test_server`, tokens in `test_tokens`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from producer.web.settings import AccessSettings, UploadSettings, WebSettings
from tests.harness.played_gateway import PlayedGateway
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT
from tests.harness.web_server import Connection, Server, running_server

HOST: Final = b"Host: localhost\r\nConnection: close\r\n"
FORM: Final = b"Content-Type: multipart/form-data; boundary=x\r\n"
ASK: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
SEND: Final = b"POST /predict HTTP/1.1\r\n"
PART: Final = b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
MOST_BYTES: Final = 4096
UNKNOWN_PATH, MALFORMED = (404, "unknown-path"), (400, "malformed-request")

PATHS: Final = {
    "dots": (b"/../../etc/passwd", UNKNOWN_PATH),
    "encoded dots": (b"/%2e%2e/%2e%2e/etc/passwd", UNKNOWN_PATH),
    "encoded slashes": (b"/page/..%2f..%2f..%2fetc%2fpasswd", UNKNOWN_PATH),
    "encoded twice": (b"/page/%252e%252e/settings.py", UNKNOWN_PATH),
    "backslashes": (b"/page/..%5c..%5csettings.py", UNKNOWN_PATH),
    "a zero byte": (b"/livez%00.png", UNKNOWN_PATH),
    "parameters of a servlet": (b"/v1/..;/metrics", UNKNOWN_PATH),
    "two slashes": (b"//livez", UNKNOWN_PATH),
    "dots to a path that exists": (b"/v1/../livez", UNKNOWN_PATH),
    "a slash at the end": (b"/livez/", UNKNOWN_PATH),
    "no UTF-8": (b"/%ff%fe", UNKNOWN_PATH),
    "a file as the id of a request": (b"/requests/../../../etc/passwd", (404, "unknown-request")),
    "a long path": (b"/" + b"a" * MOST_BYTES, (431, "headers-too-large")),
    "a space": (b"/livez /predict", MALFORMED),
}
SMUGGLED: Final = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length and chunks": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ASK,
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length with a sign": b"Content-Length: +3\r\n\r\nabc",
    "a space before the colon": b"Content-Length : 3\r\n\r\nabc",
    "a zero byte in a header": b"X: a\0b\r\n\r\n",
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "a chunk with a size beyond all": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
}
BODIES: Final = {
    "chunks beyond the limit": (
        b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n%s\r\n" % (b"a" * 1024) * 5 + b"0\r\n\r\n",
        (413, "record-too-large"),
    ),
    "an announced size beyond the limit": (b"Content-Length: 5000\r\n\r\n", (413, "record-too-large")),
    "many empty parts": (
        FORM + b"Content-Length: 4008\r\n\r\n" + b"--x\r\n\r\n\r\n" * 400 + b"--x--\r\n\r\n",
        (413, "too-many-entries"),
    ),
    "a form in a form": (
        FORM + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s--x--\r\n0\r\n\r\n" % (len(PART) * 2 + 5, PART * 2),
        (400, "no-file"),
    ),
}


@contextlib.asynccontextmanager
async def attacked(**listen: Any) -> AsyncIterator[Server]:
    """Run a server for attacks; afterwards none of its limits may be used up by them."""
    gateway = PlayedGateway()
    upload = UploadSettings(body_bytes=MOST_BYTES, bodies_bytes=MOST_BYTES)
    web = WebSettings(upload=upload, access=AccessSettings(at_once=1))
    async with running_server(gateway, web=web, header_bytes=2048, **listen) as server:
        yield server
        await eventually(lambda: server.connections() == 0)
        assert (gateway.sent, gateway.following) == ([], 0)
        await eventually(lambda: answered(server))


async def answered(server: Server) -> bool:
    """Return whether an ordinary request is answered; on a busy machine it, too, may be slower than a limit."""
    async with server.connect() as connection:
        await connection.send(SEND + HOST + b"Content-Length: %d\r\n\r\n" % MOST_BYTES + DIGIT.ljust(MOST_BYTES, b"\0"))
        return (await connection.rest()).startswith(b"HTTP/1.1 200 ")


async def refused(server: Server, request: bytes) -> tuple[int, str]:
    """Send bytes, and return status and code of the answer, which must be the only one."""
    async with server.connect() as connection:
        await connection.send(request)
        answer = await connection.rest()
    assert answer.count(b"HTTP/1.1 ") == 1
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=list(PATHS))
async def test_a_path_that_leads_elsewhere_is_refused(path: bytes, expected: tuple[int, str]) -> None:
    async with attacked() as server:
        assert await refused(server, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n") == expected


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=list(SMUGGLED))
async def test_a_body_whose_end_is_not_clear_is_refused_with_its_connection(rest: bytes) -> None:
    async with attacked() as server:
        request = SEND + b"Host: localhost\r\n" + rest
        assert await refused(server, request) == MALFORMED


@pytest.mark.parametrize(("rest", "expected"), BODIES.values(), ids=list(BODIES))
async def test_a_body_that_is_too_much_is_refused(rest: bytes, expected: tuple[int, str]) -> None:
    async with attacked() as server:
        assert await refused(server, SEND + HOST + rest) == expected


@pytest.mark.parametrize("method", [b"TRACE", b"PUT", b"DELETE", b"PATCH"])
async def test_a_method_that_nothing_has_is_refused(method: bytes) -> None:
    async with attacked() as server:
        assert await refused(server, method + b" /predict HTTP/1.1\r\n" + HOST + b"\r\n") == (405, "wrong-method")


@pytest.mark.parametrize(
    ("limit", "beginning", "answer"),
    [
        ("header_s", b"GET /livez HTTP/1.1\r\nX: ", b""),
        ("body_s", b"POST /predict HTTP/1.1\r\nContent-Length: 4000\r\n" + HOST + b"\r\n", b"408"),
    ],
    ids=["headers", "body"],
)
async def test_bytes_that_never_stop_coming_one_by_one_have_a_time_limit(
    limit: str, beginning: bytes, answer: bytes
) -> None:
    async with attacked(**{limit: 0.2}) as server, server.connect() as connection:
        await connection.send(beginning)
        dripping = asyncio.create_task(drip(connection), name="drip")
        assert answer in await connection.rest()
        dripping.cancel()
        await asyncio.wait({dripping})


async def test_many_slow_clients_leave_room_for_others_when_their_time_is_over() -> None:
    async with attacked(header_s=0.2, connections=20) as server, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(server.connect()) for _ in range(20)]
        for each in slow:
            await each.send(b"POST /predict HTTP/1.1\r\nHost:")
        assert [await each.rest() for each in slow] == [b""] * 20


async def drip(connection: Connection) -> None:
    """Send a byte again and again, until the connection ends."""
    while not connection.writer.is_closing():
        await connection.send(b"a")
        await asyncio.sleep(0.01)  # the pace of the client is what is tested
