"""What ends early: the work for a client that has left, and the live results of one that may no longer read them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from producer.web.access import keys
from producer.web.gateway.interface import Found
from producer.web.routes import presence, results
from producer.web.settings import AccessSettings, WebSettings
from tests.harness.images import zipped
from tests.harness.played_gateway import PlayedGateway
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT, OTHER_DIGIT, add_key
from tests.harness.web_server import Connection, Server, running_server

ONE_AT_ONCE = WebSettings(wait_s=300, access=AccessSettings(at_once=1))
"""While a request waits, each other one of the client is refused with 429."""


@pytest.fixture(autouse=True)
def watched_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "WATCH_AFTER_S", 0)


class SlowGateway(PlayedGateway):
    """Finds nothing, and never says so."""

    finding = 0

    async def find(self, request_id: str, tenant: str) -> Found | None:
        del request_id, tenant
        self.finding += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.finding -= 1
        return None


async def _post(connection: Connection, path: str, body: bytes, *headers: str) -> None:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
    await connection.send("\r\n".join(head).encode() + body)


async def _counted(server: Server, status: int) -> float:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    samples = [sample for family in families for sample in family.samples]
    return sum(
        each.value
        for each in samples
        if each.name == "digits_http_requests_total" and each.labels["status"] == str(status)
    )


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/predict", []), ("/predict_batch", []), ("/predict_batch", ["Accept: application/x-ndjson"])],
    ids=["an image", "several", "lines"],
)
async def test_a_client_that_leaves_while_it_waits_gives_its_place_back(path: str, headers: list[str]) -> None:
    gateway = PlayedGateway(hold=True)
    async with running_server(gateway, web=ONE_AT_ONCE) as server, aiohttp.ClientSession() as client:
        async with server.connect() as connection:
            await _post(connection, path, DIGIT, *headers)
            await eventually(lambda: gateway.following == 1)
            assert (await client.post(f"{server.url}/predict", data=DIGIT)).status == 429
        await eventually(lambda: gateway.following == 0)
        gateway.release()
        assert (await client.post(f"{server.url}/predict", data=DIGIT)).status == 200
        assert await _counted(server, 499) == 1
        assert await _counted(server, 500) == 0


async def test_a_client_that_leaves_in_the_middle_of_its_batch_gives_its_place_back() -> None:
    gateway = PlayedGateway(most_answers=1)
    archive = zipped([("a.png", DIGIT), ("b.png", OTHER_DIGIT)])
    async with running_server(gateway, web=ONE_AT_ONCE) as server:
        async with server.connect() as connection:
            await _post(connection, "/predict_batch", archive)
            await eventually(lambda: gateway.following == 1)
        await eventually(lambda: gateway.following == 0)
        await eventually(lambda: _counted(server, 499), lambda count: count == 1)


async def test_a_search_ends_with_its_client() -> None:
    gateway = SlowGateway()
    async with running_server(gateway, web=ONE_AT_ONCE) as server:
        async with server.connect() as connection:
            await connection.send(b"GET /requests/k HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: gateway.finding == 1)
        await eventually(lambda: gateway.finding == 0)


async def test_a_request_that_follows_on_the_same_connection_does_not_end_the_first() -> None:
    gateway = PlayedGateway(hold=True)
    async with running_server(gateway, web=WebSettings(wait_s=300)) as server, server.connect() as connection:
        await _post(connection, "/predict", DIGIT)
        await eventually(lambda: gateway.following == 1)
        await connection.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gateway.release()
        first = await connection.reader.readuntil(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200 ")
        await connection.reader.readuntil(b'{"status":"ok"}')


@contextlib.asynccontextmanager
async def _reading(server: Server, key: str) -> AsyncIterator[aiohttp.StreamReader]:
    headers = {"X-API-Key": key}
    async with aiohttp.ClientSession(headers=headers) as client, client.get(f"{server.url}/results") as response:
        assert response.status == 200
        await response.content.readuntil(b"\n\n")
        yield response.content


def _replace(file: Path, text: str) -> None:
    """Put another file in its place in one step: the server must not read a part of it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@pytest.fixture
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "CHECK_INTERVAL_S", 0.02)
    monkeypatch.setattr(results, "CHECK_S", 0.02)


@pytest.mark.usefixtures("checked_often")
@pytest.mark.parametrize("change", ["removed", "scopes", "tenant", "expires"])
async def test_live_results_end_when_their_key_may_no_longer_read_them(change: str, tmp_path: Path) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    line = {
        "scopes": 'scopes = ["predict"]',
        "tenant": 'tenant = "another"',
        "expires": f"expires = {past.isoformat()}",
    }
    file = tmp_path / "keys.toml"
    kept = add_key(file, "kept")
    others = file.read_text()
    changed = add_key(file, "changed")
    entry = file.read_text().removeprefix(others)
    if change == "scopes":
        entry = "\n".join(each for each in entry.splitlines() if not each.startswith("scopes"))
    gateway = PlayedGateway()
    web = WebSettings(access=AccessSettings(keys_file=file))
    async with (
        running_server(gateway, web=web) as server,
        _reading(server, kept) as going_on,
        _reading(server, changed) as ending,
    ):
        _replace(file, others + (f"{entry}\n{line[change]}\n" if change in line else ""))
        assert await ending.read() == b""
        await eventually(lambda: gateway.live_readers == 1)
        assert not going_on.at_eof()


@pytest.mark.usefixtures("checked_often")
async def test_live_results_go_on_when_the_file_of_keys_gets_a_mistake_or_another_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    key = add_key(file, "kept")
    added = add_key(tmp_path / "other.toml", "added")
    others = file.read_text() + (tmp_path / "other.toml").read_text()
    gateway = PlayedGateway()
    async with (
        running_server(gateway, web=WebSettings(access=AccessSettings(keys_file=file))) as server,
        _reading(server, key) as going_on,
        aiohttp.ClientSession() as client,
    ):
        with structlog.testing.capture_logs() as logs:
            _replace(file, "[[keys]]\n")
            await eventually(lambda: [each["event"] for each in logs], lambda seen: "API keys not reloaded" in seen)
            _replace(file, others)
            await eventually(lambda: [each["event"] for each in logs], lambda seen: "API keys reloaded" in seen)
        response = await client.get(f"{server.url}/requests/k", headers={"X-API-Key": added})
        assert response.status == 404
        assert gateway.live_readers == 1
        assert not going_on.at_eof()
