"""One line an event, for people or for machines; run apart, since logging is set up for a whole process."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop

from transport.logs import log_unawaited_errors

PROGRAM = """
import logging
import sys
import structlog
from transport.logs import configure
from transport.settings.logs import LogSettings

log = structlog.get_logger()  # as in all modules: before it is set up
configure(LogSettings(format=sys.argv[1], level=sys.argv[2]))
log.debug("detail")
log.info("starting", partition="requests/0", offset=7)
logging.getLogger("aiokafka.consumer").error("a problem that the client solves")
logging.getLogger("library").warning("%s is odd", "this")
try:
    raise ValueError("first\\nsecond")
except ValueError:
    log.exception("unforeseen")
log.error("quarantined", request_id="\\x1b[31mowned\\x07 \\x9b2J \\u202etxt.exe\\r\\nlevel=forged")
"""


def lines(log_format: str, level: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def events(level: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines("json", level)]


def test_for_machines_every_line_is_an_event_with_level_and_time() -> None:
    starting, odd, unforeseen, _ = events("info")
    assert starting.pop("timestamp").endswith("Z")
    assert starting == {"event": "starting", "level": "info", "partition": "requests/0", "offset": 7}
    assert (odd["event"], odd["level"]) == ("this is odd", "warning")
    assert unforeseen["level"] == "error"
    assert unforeseen["exception"].endswith("ValueError: first\nsecond")


def test_for_people_a_line_reads_from_left_to_right() -> None:
    line = lines("console", "info")[0]
    assert [part for part in line.split() if part.isalpha()] == ["starting"]
    assert line.index("info") < line.index("starting") < line.index("partition=") < line.index("offset=7")
    assert "\x1b" not in line, "colours in a file"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_sender_writes_into_an_id_is_shown_and_does_nothing(log_format: str) -> None:
    line = lines(log_format, "error")[-1]
    assert "quarantined" in line
    assert "owned" in line
    assert "level=forged" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (
            "debug",
            ["detail", "starting", "a problem that the client solves", "this is odd", "unforeseen", "quarantined"],
        ),
        ("info", ["starting", "this is odd", "unforeseen", "quarantined"]),
        ("warning", ["this is odd", "unforeseen", "quarantined"]),
        ("error", ["unforeseen", "quarantined"]),
    ],
)
def test_the_level_decides_what_is_shown_and_the_clients_hiccups_are_for_debugging(
    level: str, expected: list[str]
) -> None:
    shown = [event["event"] for event in events(level)]
    assert [event for event in shown if event in expected] == expected
    assert len(shown) == len(expected) or level == "debug"


def complaint_of_uvloop() -> Exception:
    """Return what uvloop raises when it writes to a connection that it has closed, since the attempt was cancelled."""

    async def connect(ours: socket.socket) -> None:
        transports: list[asyncio.Transport] = []

        class Cancels(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.append(cast("asyncio.Transport", transport))
                attempt.cancel()

        attempt = asyncio.ensure_future(asyncio.get_running_loop().create_connection(Cancels, sock=ours))
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert not transports[0].is_closing(), "the message would not have to be read"
        transports[0].write(b"an answer")

    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(RuntimeError) as caught:
        uvloop.run(connect(ours))
    return caught.value


@pytest.mark.parametrize(
    ("error", "is_logged"), [(complaint_of_uvloop, False), (lambda: RuntimeError("odd"), True), (OSError, True)]
)
def test_what_tls_raises_on_a_closed_connection_is_no_error_of_the_service(
    error: Callable[[], Exception], caplog: pytest.LogCaptureFixture, *, is_logged: bool
) -> None:
    context = {"message": "Fatal error on SSL protocol", "exception": error()}
    logged: list[dict[str, Any]] = []
    loop: Any = SimpleNamespace(default_exception_handler=logged.append)
    with caplog.at_level(logging.DEBUG, "aiokafka"):
        log_unawaited_errors(loop, context)
    assert logged == ([context] if is_logged else [])
    assert bool(caplog.records) is not is_logged, "what is no error is still logged at level debug"
