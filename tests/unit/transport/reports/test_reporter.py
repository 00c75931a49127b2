"""What reaches Sentry, what does not, and that a program does not wait for it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from pydantic import SecretStr

from broker.probe import HOST
from release import version
from tests.harness.sentry_receiver import KEY, Receiver, running_receiver
from tests.harness.waiting import DEADLINE_S, eventually
from transport.errors import FatalError
from transport.reports import opening, sentry
from transport.reports.opening import reporting
from transport.reports.reporter import Reporter
from transport.reports.sentry import QUEUED_EVENTS, SentryReporter
from transport.settings.reports import ReportSettings

SECRET = "open sesame"  # noqa: S105  # made up
PAYLOAD = b"\x89PNG the bytes of a sender"


@pytest.fixture(autouse=True)
def _the_end_waits_for_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "REPORT_FLUSH_TIMEOUT_S", 60)


def settings(dsn: str, sample_rate: float = 1) -> ReportSettings:
    return ReportSettings(sentry_dsn=SecretStr(dsn), sentry_environment="test-bench", sentry_sample_rate=sample_rate)


def fails(payload: bytes, password: str) -> None:
    """Raise what libraries raise: an error with the value in its text, after another one."""
    try:
        int(payload)
    except ValueError as cause:
        raise LookupError(f"no {payload!r} for {password}") from cause


def caught(payload: bytes = PAYLOAD, password: str = SECRET) -> Exception:
    try:
        fails(payload, password)
    except LookupError as error:
        return error
    raise AssertionError


def report_one_of_each_kind(reporter: Reporter) -> None:
    reporter.error("item failed", {"partition": 3, "offset": 17, "request_id": "order-7"}, detail="internal-error")
    reporter.error("unexpected error", error=caught(), detail="asyncio")
    logging.getLogger("asyncio").error("task with %r", PAYLOAD, exc_info=caught())
    logging.getLogger("asyncio").error("no exception, but %r", PAYLOAD)
    reporter.fatal(FatalError("the disk is full"))
    reporter.fatal(caught())
    reporter.fatal(ExceptionGroup(SECRET, [caught(), FatalError(SECRET)]))


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("SENTRY_ENVIRONMENT", SECRET)
    monkeypatch.setenv("SENTRY_RELEASE", SECRET)
    monkeypatch.setenv("SENTRY_SPOTLIGHT", "1")
    with running_receiver() as receiver:
        with reporting(settings(receiver.dsn)) as reporter:
            report_one_of_each_kind(reporter)
        return receiver


def test_each_kind_of_report_arrives_with_release_and_place(received: Receiver) -> None:
    item, error, logged, fatal, unexpected, group = received.events
    assert {event["release"] for event in received.events} == {f"digitstream@{version()}"}
    assert {event["environment"] for event in received.events} == {"test-bench"}
    assert item["message"] == "item failed: internal-error"
    assert item["tags"] == {"partition": "3", "offset": "17", "request_id": "order-7"}
    assert [each["type"] for each in error["exception"]["values"]] == ["ValueError", "LookupError"]
    frame = error["exception"]["values"][1]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"]) == ("fails", "tests/unit/transport/reports/test_reporter.py")
    assert logged["tags"]["what"] == "unexpected error: asyncio"
    assert fatal["exception"]["values"][0]["value"] == "the disk is full"
    assert [event["level"] for event in received.events] == ["error", "error", "error", "fatal", "fatal", "fatal"]
    assert unexpected["exception"]["values"][1]["type"] == "LookupError"
    assert {each["type"] for each in group["exception"]["values"]} >= {"ExceptionGroup", "LookupError", "FatalError"}


def test_nothing_secret_is_in_any_report(received: Receiver) -> None:
    sent = b"".join(received.bodies)
    variables = [value for name, value in os.environ.items() if name in {"PATH", "HOME", "PWD"}]
    for unwanted in (SECRET, "bytes of a sender", *variables):
        assert unwanted.encode() not in sent
    assert KEY.encode() not in sent
    assert not re.search(rb'"(vars|context_line|pre_context|abs_path|request|user|extra|breadcrumbs|modules)":', sent)
    assert not re.search(rb'"filename": ?"/', sent)


def test_a_share_of_the_errors_is_reported_and_every_fatal_end() -> None:
    with running_receiver() as receiver:
        with reporting(settings(receiver.dsn, sample_rate=0)) as reporter:
            report_one_of_each_kind(reporter)
        assert [event["level"] for event in receiver.events] == ["fatal"] * 3


def test_many_errors_at_once_are_few_reports_and_a_fatal_end_is_one_more() -> None:
    with running_receiver() as receiver:
        with reporting(settings(receiver.dsn)) as reporter:
            for offset in range(1_000):
                reporter.error("item failed", {"offset": offset})
            reporter.fatal(FatalError("enough"))
        assert sentry.REPORTS_AT_ONCE < len(receiver.events) < 2 * sentry.REPORTS_AT_ONCE
        assert receiver.events[-1]["level"] == "fatal"


async def test_a_receiver_that_hangs_holds_up_neither_a_report_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentry, "REPORTS_AT_ONCE", 10 * QUEUED_EVENTS)
    monkeypatch.setattr(opening, "REPORT_FLUSH_TIMEOUT_S", 0.2)
    with running_receiver() as receiver:
        receiver.answers.clear()
        with reporting(settings(receiver.dsn)) as reporter:
            reporter.error("the first")
            await asyncio.to_thread(receiver.asked.wait)
            for _ in range(5 * QUEUED_EVENTS):  # it returns although the queue is full
                reporter.error("one more")
            reporter.fatal(FatalError("the end"))
        assert receiver.bodies == [], "it has answered: this test proves nothing"
        # The SDK's thread goes on with the full queue; without a receiver it would log failures during other tests.
        receiver.answers.set()
        await eventually(lambda: len(receiver.bodies) >= 1 + QUEUED_EVENTS)


@pytest.mark.parametrize("path", ["unreachable", "wrong project"])
def test_what_is_not_sent_is_a_line_in_the_log_without_the_address(
    path: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_receiver() as receiver, socket.socket() as taken:
        taken.bind((HOST, 0))  # and does not listen
        away = f"http://{KEY}@{HOST}:{taken.getsockname()[1]}/42"
        dsn = away if path == "unreachable" else f"{receiver.dsn}1"
        with caplog.at_level(logging.DEBUG), reporting(settings(dsn)) as reporter:
            reporter.fatal(FatalError("the disk is full"))
    out = "".join(capsys.readouterr())
    assert "report not sent" in out + caplog.text
    assert ("network" if path == "unreachable" else "status_403") in out + caplog.text
    assert KEY not in out + caplog.text


def test_what_cannot_be_described_is_no_fault_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentry, "event_of", lambda *_, **__: 1 / 0)
    with running_receiver() as receiver:
        with reporting(settings(receiver.dsn)) as reporter:
            report_one_of_each_kind(reporter)
        assert receiver.bodies == []


def test_a_program_ends_although_a_report_is_under_way() -> None:
    program = (
        "import sys; from pydantic import SecretStr; from transport.reports.opening import reporting; "
        "from transport.settings.reports import ReportSettings\n"
        "with reporting(ReportSettings(sentry_dsn=SecretStr(sys.argv[1]))) as reporter: reporter.error('one'); input()"
    )
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with running_receiver() as receiver:
        receiver.answers.clear()
        with subprocess.Popen([sys.executable, "-c", program, receiver.dsn], **pipes) as running:
            assert receiver.asked.wait(DEADLINE_S)
            _, errors = running.communicate(b"\n")
        assert (running.returncode, errors) == (0, b"")


def test_threads_may_report_at_the_same_time() -> None:
    with running_receiver() as receiver:
        with reporting(settings(receiver.dsn)) as reporter:
            threads = [threading.Thread(target=reporter.error, args=("one",)) for _ in range(8)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        assert len(receiver.events) == 8


def test_where_no_address_is_set_nothing_is_reported_or_imported() -> None:
    command = "import sys, consumer.cli; sys.exit(any(name.startswith('sentry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
    with reporting(ReportSettings()) as reporter:
        assert not isinstance(reporter, SentryReporter)
        report_one_of_each_kind(reporter)


def test_without_the_packages_the_start_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "transport.reports.sentry", raising=False)
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with (
        pytest.raises(
            FatalError, match=r"^DIGITS_SENTRY_DSN is set, .* pip install 'digitstream\[sentry\]'$"
        ) as caught,
        reporting(settings(f"https://{KEY}@sentry.example/42")),
    ):
        pytest.fail("it went on without")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "https://sentry.example/42",
        f"https://{KEY}@sentry.example",
        f"https://{KEY}@sentry.example/project",
        f"https://{KEY}@sentry.example:port/42",
        f"ftp://{KEY}@sentry.example/42",
        f"https://{KEY}@[sentry.example/42",
        KEY,
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(dsn: str) -> None:
    with pytest.raises(ValueError, match="a DSN has the form https://KEY@HOST/PROJECT"):
        settings(dsn)
