"""What the HTTP server reports to Sentry: unexpected errors and its end, and nothing that a client sends but the id."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterator

import aiohttp
import pytest
from pydantic import SecretStr

from broker.ports import free_ports
from broker.probe import HOST
from producer.errors import Exit
from producer.web.gateway.interface import Answer, State
from tests.harness.images import zipped
from tests.harness.played_gateway import PlayedGateway
from tests.harness.sentry_receiver import KEY, Receiver, running_receiver
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT, OTHER_DIGIT
from tests.harness.web_server import running_server
from transport.reports import opening
from transport.reports.opening import reporting
from transport.reports.reporter import Reporter
from transport.settings.reports import ReportSettings

SECRET = "open-sesame"  # noqa: S105  # made up
END_S = 60.0


class FailingGateway(PlayedGateway):
    """Fails unexpectedly, with bytes of the client in the message."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self._after = after

    async def follow(self, request_id: str, tenant: str) -> AsyncGenerator[Answer, None]:
        async for answer in super().follow(request_id, tenant):
            if answer.index == self._after:
                raise RuntimeError(f"{SECRET} {self.sent[-1].payload!r}")
            yield answer

    def state(self) -> State:
        raise RuntimeError(SECRET)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(opening, "REPORT_FLUSH_TIMEOUT_S", 60)  # of a busy machine
    with running_receiver() as running:
        yield running


@pytest.fixture
def reporter(receiver: Receiver) -> Iterator[Reporter]:
    with reporting(ReportSettings(sentry_dsn=SecretStr(receiver.dsn))) as opened:
        yield opened


async def test_an_unexpected_error_is_one_report_with_the_id_and_nothing_else_of_the_client(
    receiver: Receiver, reporter: Reporter
) -> None:
    headers = {"Idempotency-Key": "order-7", "X-API-Key": SECRET, "Authorization": SECRET, "Correlation-Id": SECRET}
    async with running_server(FailingGateway(), reporter=reporter) as server, aiohttp.ClientSession() as client:
        response = await client.post(f"{server.url}/predict?token={SECRET}", data=DIGIT, headers=headers)
        assert (response.status, (await response.json())["code"]) == (500, "unexpected-error")
        await eventually(lambda: len(receiver.events))
    (event,) = receiver.events
    assert event["tags"] == {"what": "unexpected error: request", "request_id": "order-7"}
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["stacktrace"]["frames"][-1]["function"]) == ("RuntimeError", "follow")
    sent = b"".join(receiver.bodies)
    for unwanted in (SECRET, KEY, "PNG", "IHDR", "X-API-Key", "x-api-key", "/predict?"):
        assert unwanted.encode() not in sent


async def test_an_error_without_a_request_id_is_reported_without_one(receiver: Receiver, reporter: Reporter) -> None:
    async with running_server(FailingGateway(), reporter=reporter) as server, aiohttp.ClientSession() as client:
        assert (await client.get(f"{server.url}/health")).status == 500
        await eventually(lambda: len(receiver.events))
    (event,) = receiver.events
    assert event["tags"] == {"what": "unexpected error: request"}


async def test_an_error_in_the_middle_of_a_stream_ends_it_and_is_reported(
    receiver: Receiver, reporter: Reporter
) -> None:
    archive = zipped([("one.png", DIGIT), ("two.png", OTHER_DIGIT)])
    headers = {"Accept": "application/x-ndjson"}
    async with running_server(FailingGateway(1), reporter=reporter) as server, aiohttp.ClientSession() as client:
        response = await client.post(f"{server.url}/predict_batch", data=archive, headers=headers)
        assert json.loads(await response.content.readline())["item"]["index"] == 0
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
        await eventually(lambda: len(receiver.events))
    (event,) = receiver.events
    assert event["tags"] == {"what": "unexpected error: request", "request_id": "made-0"}


async def test_a_refusal_is_not_reported(receiver: Receiver, reporter: Reporter) -> None:
    async with running_server(PlayedGateway(), reporter=reporter) as server, aiohttp.ClientSession() as client:
        assert (await client.post(f"{server.url}/predict", data=b"no image")).status == 415
        assert (await client.get(f"{server.url}/nowhere")).status == 404
        reporter.error("the last")
        await eventually(lambda: len(receiver.events))
    (event,) = receiver.events
    assert event["message"] == "the last"


async def test_a_receiver_that_hangs_delays_no_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "REPORT_FLUSH_TIMEOUT_S", 0.1)
    receiver.answers.clear()
    with reporting(ReportSettings(sentry_dsn=SecretStr(receiver.dsn))) as reporter:
        async with running_server(FailingGateway(), reporter=reporter) as server, aiohttp.ClientSession() as client:
            for _ in range(3):
                assert (await client.post(f"{server.url}/predict", data=DIGIT)).status == 500
            await eventually(receiver.asked.is_set)
            assert (await client.get(f"{server.url}/livez")).status == 200
    assert receiver.bodies == [], "it has answered: this test proves nothing"


async def test_a_fatal_end_is_reported_and_the_log_has_the_format_of_the_service() -> None:
    with running_receiver() as receiver:
        settings = {
            "DIGITS_SENTRY_DSN": receiver.dsn,
            "DIGITS_LOG__FORMAT": "json",
            "DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{free_ports(1)[0]}",
            "DIGITS_KAFKA__WAIT_S": "0.1",
        }
        outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
        command = (sys.executable, "-m", "producer", "serve")
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=outside | settings)
        async with asyncio.timeout(END_S):
            _, err = await process.communicate()
    assert process.returncode == Exit.KAFKA, err
    (event,) = receiver.events
    assert event["level"] == "fatal"
    assert event["exception"]["values"][-1]["type"] == "KafkaRequestError"
    log = [json.loads(line) for line in err.decode().splitlines() if line.startswith("{")]
    assert log[0]["event"] == "error reports enabled"
    assert KEY not in err.decode()


async def test_an_unexpected_error_is_in_the_log_with_its_traceback(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.ERROR):
        async with running_server(FailingGateway()) as server, aiohttp.ClientSession() as client:
            await client.post(f"{server.url}/predict", data=DIGIT)
    shown = "".join(capsys.readouterr()) + caplog.text
    assert "request failed" in shown
    assert "request_id" in shown
    assert "RuntimeError" in shown
