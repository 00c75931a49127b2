"""The report is clean only if every check is: each check gets a case that it must find."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import chart, report
from tests.chaos import run as run_module
from tests.chaos.load import Load, Sent
from tests.chaos.payloads import CRASH, GOOD, Payload, Payloads
from tests.chaos.plan import counts
from tests.chaos.predictions_reader import Answered, Reader
from tests.chaos.run import Options, Run, StalledError
from tests.chaos.timeline import Struck, Timeline
from tests.harness.topics import Position
from tests.harness.waiting import eventually
from transport.settings.kafka import KafkaSettings

CLEAN = {
    "requests": 2,
    "pending": 0,
    "expired": 0,
    "results": 3,
    "dead_letters": 1,
    "missing": 0,
    "duplicated": 0,
    "out_of_order": 0,
    "inconsistent": 0,
}
HERE = Position(0, 1)


@pytest.fixture(scope="module")
def payloads() -> Payloads:
    """Make the payloads once, because they take a second."""
    return Payloads(1)


@pytest.fixture
async def run(payloads: Payloads) -> Run:
    """A run in which two requests, one of them a zip with poison, were answered as they should be."""
    run = Run(Options(seed=1, minutes=1, images=3), Timeline(lambda _: None))
    run.load = Load(None, "requests", payloads, seed=1, images_per_s=1)  # nothing is sent
    run.reader = Reader(KafkaSettings(), "predictions", 1)
    run.load.acknowledged = {
        "a": Sent("a", Payload(b"", (GOOD,))),
        "b": Sent("b", Payload(b"", (GOOD, CRASH))),
    }
    run.load.images = run.reader.results = 3
    run.reader.answers = {
        Position(0, 0): Answered("a", 1, [None]),
        HERE: Answered("b", 2, [None, "worker-crashed"]),
    }
    run.audit = dict(CLEAN)
    now_s = time.time()
    run.timeline.struck = [Struck(kind, "", now_s, now_s) for kind, count in counts(1).items() for _ in range(count)]
    return run


def test_a_run_without_a_fault_is_clean_and_can_be_drawn(run: Run, tmp_path: Path) -> None:
    data = report.report(run, None)
    assert data["clean"], data["checks"]
    chart.draw(data, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def answer(run: Run) -> Answered:
    assert run.reader is not None
    return run.reader.answers[HERE]


def lose(run: Run) -> None:
    assert run.reader is not None
    del run.reader.answers[HERE]


def invent(run: Run, request_id: str = "c") -> None:
    assert run.reader is not None
    run.reader.answers[Position(0, 2)] = Answered(request_id, 1, [None])


def doubt(run: Run) -> None:
    assert run.reader is not None
    run.reader.offenders.append("doubled")


PLANTED: dict[str, Callable[[Run], Any]] = {
    "a request is not answered": lose,
    "an image is not answered": lambda run: answer(run).codes.pop(),
    "an image fails that must not": lambda run: answer(run).codes.__setitem__(0, "worker-crashed"),
    "poison fails with another code": lambda run: answer(run).codes.__setitem__(1, "worker-timeout"),
    "poison does not fail": lambda run: answer(run).codes.__setitem__(1, None),
    "an answer has another's request id": lambda run: setattr(answer(run), "request_id", "a"),
    "a request that was not sent is answered": invent,
    "a request was written twice": lambda run: invent(run, request_id="a"),
    "the reader saw a fault": doubt,
    "an instance ended by itself": lambda run: run.timeline.find("instance 1 ended by itself"),
    "a fault did not happen": lambda run: run.timeline.struck.pop(),
    "there was no audit": lambda run: setattr(run, "audit", None),
    "the audit finds something": lambda run: run.audit and run.audit.update(duplicated=1),
    "something is pending": lambda run: run.audit and run.audit.update(pending=1),
    "the audit counts more than was sent": lambda run: run.audit and run.audit.update(requests=3),
    "the audit counts other dead letters": lambda run: run.audit and run.audit.update(dead_letters=2),
}


@pytest.mark.parametrize("fault", PLANTED.values(), ids=PLANTED)
def test_a_run_is_not_clean_when(run: Run, fault: Callable[[Run], Any]) -> None:
    fault(run)
    assert not report.report(run, None)["clean"]


def test_an_unfinished_run_is_not_clean(run: Run) -> None:
    assert not report.report(run, "no result for 90 s")["clean"]


def test_an_unacknowledged_request_may_have_been_written(run: Run) -> None:
    assert run.load is not None
    assert run.reader is not None
    invent(run)
    run.load.unacknowledged.append("c: no answer")
    run.reader.results += 1
    run.audit = CLEAN | {"requests": 3, "results": 4}
    assert report.report(run, None)["clean"]


async def test_a_partition_without_results_for_too_long_ends_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "DELAY_FAULTS_AFTER_S", 0.02)
    monkeypatch.setattr(run_module, "STALL_S", 0.05)
    monkeypatch.setattr(run_module, "LOOK_S", 0.01)
    assert run.load is not None
    assert run.reader is not None
    guarding = asyncio.create_task(run_module._guard(run))
    await asyncio.wait({guarding}, timeout=0.3)
    assert not guarding.done(), "all requests are answered, so no result is missing"
    assert run.may_strike.is_set()
    assert report.report(run, None)["faults_delayed_s"] == 0
    monkeypatch.setattr(run_module, "STALL_S", 600.0)
    run.load.acknowledged["c"] = Sent("c", Payload(b"", (GOOD,)), partition=3)
    await eventually(lambda: not run.may_strike.is_set())  # faults are delayed first
    await eventually(lambda: report.report(run, None)["faults_delayed_s"])
    monkeypatch.setattr(run_module, "STALL_S", 0.05)
    with pytest.raises(StalledError, match=r"no result in partition 3 for \d+ s, 1 requests there are not answered"):
        await guarding
