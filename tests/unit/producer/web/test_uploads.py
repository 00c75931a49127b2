"""Bodies: limits of size, files, time and memory, and malformed ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from producer.web.settings import ListenSettings, UploadSettings, WebSettings
from producer.web.uploads.multipart import base_name
from tests.harness.played_gateway import PlayedGateway
from tests.harness.web import DIGIT, client_of

FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def _limits(**limits: int) -> WebSettings:
    return WebSettings(upload=UploadSettings(**limits))


async def _in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_an_announced_size_above_the_limit_is_refused_before_the_body_is_read() -> None:
    async with client_of(PlayedGateway(), _limits(body_bytes=10)) as client:
        response = await client.post("/predict", content=_never(), headers={"Content-Length": "11"})
    assert (response.status_code, response.json()["code"]) == (413, "record-too-large")


async def test_a_body_above_the_limit_is_refused_though_it_announced_nothing() -> None:
    gateway = PlayedGateway()
    async with client_of(gateway, _limits(body_bytes=10)) as client:
        response = await client.post("/predict", content=_in_pieces(b"12345", b"67890", b"1"))
    assert (response.status_code, response.json()["code"]) == (413, "record-too-large")
    assert gateway.sent == []


async def test_too_many_files_are_refused() -> None:
    async with client_of(PlayedGateway(), _limits(files=2)) as client:
        response = await client.post("/predict_batch", files=[("files", ("a.png", DIGIT))] * 3)
    assert (response.status_code, response.json()["code"]) == (413, "too-many-entries")


async def test_too_many_fields_are_refused() -> None:
    async with client_of(PlayedGateway()) as client:
        response = await client.post("/predict", files=[("x", (None, "y"))] * 101)
    assert (response.status_code, response.json()["code"]) == (413, "too-many-entries")


async def test_all_bodies_together_have_a_limit_and_give_it_back() -> None:
    gateway = PlayedGateway()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield DIGIT
        arrived.set()
        await go_on.wait()

    async with client_of(gateway, _limits(bodies_bytes=len(DIGIT))) as client:
        first = asyncio.create_task(client.post("/predict", content=slow()))
        await arrived.wait()
        refused = await client.post("/predict", content=DIGIT)
        go_on.set()
        assert (await first).status_code == 200
        assert (await client.post("/predict", content=DIGIT)).status_code == 200
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (503, "busy", "1")


async def test_a_body_that_does_not_arrive_in_time_is_refused() -> None:
    settings = WebSettings(listen=ListenSettings(body_s=0.05))
    async with client_of(PlayedGateway(), settings) as client:
        response = await client.post("/predict", content=_never())
    assert (response.status_code, response.json()["code"]) == (408, "too-slow")
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        PART + DIGIT,
        PART + DIGIT + b"\r\n--x",
        b"--x\r\nContent Disposition\r\n\r\n--x--\r\n",
        b"--x\r\n" + b"A: b\r\n" * 9 + b"\r\n--x--\r\n",
        b"--x\r\nContent-Disposition: " + b"a" * 5000 + b"\r\n\r\n--x--\r\n",
    ],
    ids=["empty", "no form", "cut off in a part", "cut off at its end", "bad header", "many headers", "long header"],
)
async def test_a_malformed_form_is_refused(body: bytes) -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        response = await client.post("/predict", content=body, headers=FORM)
    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert gateway.sent == []


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 1000])
async def test_a_form_without_a_usable_boundary_is_refused(kind: str) -> None:
    async with client_of(PlayedGateway()) as client:
        response = await client.post("/predict", content=PART + b"--x--\r\n", headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


async def test_a_form_that_arrives_byte_by_byte_is_read() -> None:
    gateway = PlayedGateway()
    body = PART + DIGIT + b"\r\n--x--\r\n"
    pieces = (body[at : at + 1] for at in range(len(body)))
    async with client_of(gateway) as client:
        response = await client.post("/predict", content=_in_pieces(*pieces), headers=FORM)
    assert response.status_code == 200
    assert (gateway.sent[0].payload, gateway.sent[0].filename) == (DIGIT, "a.png")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a.png", "a.png"), ("/etc/passwd", "passwd"), ("..\\..\\x", "x"), ("..", None), ("a/", None), ("a\nb", "a�b")],
)
def test_a_name_has_no_folders_and_no_control_characters(given: str, expected: str | None) -> None:
    assert base_name(given) == expected


async def _never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""  # pragma: no cover
