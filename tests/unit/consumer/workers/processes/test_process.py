"""A worker that does not start, or does not speak as it should, is noticed and costs the service nothing."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from consumer.workers.challenge.report import Challenged, Compared
from consumer.workers.processes import process
from consumer.workers.processes.deaths import ChallengerDied, WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.protocol import LENGTH, Compiling, FrameTooLongError, Ready, body_bytes, frame
from consumer.workers.tasks import Answer, Answers, Part, Timings
from contract.errors import ErrorCode
from engine.model.files import ModelFiles
from models import default_model
from tests.harness.tasks import rules, task
from tests.harness.waiting import eventually

MEMORY_BYTES = 64 * 1024 * 1024
LONG = LENGTH.pack(2**32 - 1)
SPEAKS = """
import socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.recv(1)
for word in sys.argv[2:]:
    channel.sendall(bytes.fromhex(word))
sys.stdin.read()
"""


@pytest.fixture
def spec() -> Iterator[WorkerSpec]:
    model = PinnedModel.of(ModelFiles.read(default_model()), str(default_model()))
    yield WorkerSpec(model, rules(), MEMORY_BYTES, 10)
    model.close()


def speaking(*words: bytes | bytearray) -> Any:
    """Give a worker that says these words as soon as it is spoken to, and then waits."""

    async def spawn(
        *, channel: int, note: int, model: int, challenger: int | None = None
    ) -> asyncio.subprocess.Process:
        del challenger
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SPEAKS, str(channel), *(word.hex() for word in words)),
            stdin=subprocess.PIPE,
            pass_fds=(channel, note, model),
        )

    return spawn


def test_a_length_that_no_frame_can_have_is_refused_before_anything_is_allocated() -> None:
    assert body_bytes(LENGTH.pack(10), 10) == 10
    with pytest.raises(FrameTooLongError, match="a frame of 4,294,967,295 bytes; at most 10 are possible"):
        body_bytes(LONG, 10)


async def test_a_worker_that_is_not_ready_in_time_has_not_started(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    monkeypatch.setattr(process, "spawn", speaking())
    monkeypatch.setattr(process, "START_TIMEOUT_S", 0.1)
    with pytest.raises(WorkerNotStarted, match=r"was not ready in 0\.1 s"):
        async with WorkerProcess.started(spec, lambda _: None):
            pytest.fail("it started")


class WatchedEvent(asyncio.Event):
    """Knows whether anything has begun to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.waited_for.set()
        return await super().wait()


async def test_a_worker_that_has_to_compile_waits_until_it_may(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    monkeypatch.setattr(process, "spawn", speaking(frame(Compiling(0, 2)), frame(Compiling(1, 2)), frame(Ready())))
    reports: list[Compiling] = []
    may_compile = WatchedEvent()

    async def start() -> None:
        async with WorkerProcess.started(spec, reports.append, may_compile):
            pass

    starting = asyncio.create_task(start())
    await may_compile.waited_for.wait()
    assert not starting.done()
    assert reports == []
    may_compile.set()
    await starting
    assert [each.done for each in reports] == [0, 1]


async def test_a_worker_that_has_nothing_to_compile_waits_for_no_other(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    monkeypatch.setattr(process, "spawn", speaking(frame(Ready())))
    async with WorkerProcess.started(spec, lambda _: None, asyncio.Event()):
        pass


async def test_a_worker_whose_start_reply_is_too_long_has_not_started(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    monkeypatch.setattr(process, "spawn", speaking(LONG))
    with pytest.raises(WorkerNotStarted, match="sent no start reply: a frame of 4,294,967,295 bytes"):
        async with WorkerProcess.started(spec, lambda _: None):
            pytest.fail("it started")


async def test_a_worker_whose_answer_is_longer_than_its_memory_has_died(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    monkeypatch.setattr(process, "spawn", speaking(bytes(frame(Ready())), LONG))
    async with WorkerProcess.started(spec, lambda _: None) as worker:
        with pytest.raises(WorkerDied, match="sent a frame of 4,294,967,295 bytes") as caught:
            await worker.answer([task(b"")], lambda: None)
    assert caught.value.code is ErrorCode.WORKER_CRASHED


async def test_a_worker_whose_answer_is_of_another_task_has_died(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    answers = Answers([Answer([Part(7, [])])], Timings(0, 0, 0))
    monkeypatch.setattr(process, "spawn", speaking(bytes(frame(Ready())), bytes(frame(answers))))
    async with WorkerProcess.started(spec, lambda _: None) as worker:
        with pytest.raises(WorkerDied, match=r"sent invalid answers \(it ends at 7, and the task at 1\)"):
            await worker.answer([task(b"")], lambda: None)


REPORT = Challenged([Compared("7", "1", 3)], 2.5, 1.5, 0.25, {"load": 4})


def answered(*, is_challenged: bool = True) -> bytes:
    return bytes(frame(Answers([Answer([Part(1, [])])], Timings(0, 0, 0), is_challenged)))


async def test_the_report_of_a_challenge_comes_after_the_answer_while_the_worker_is_idle(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    reports: list[Challenged] = []
    monkeypatch.setattr(process, "spawn", speaking(bytes(frame(Ready())), answered(), bytes(frame(REPORT))))
    async with WorkerProcess.started(spec, lambda _: None, None, reports.append) as worker:
        await worker.answer([task(b"")], lambda: None)
        assert reports == [], "nothing waits for it"
        idle = asyncio.create_task(worker.ended_idle())
        await eventually(lambda: reports, lambda seen: seen == [REPORT])
        idle.cancel()
        await asyncio.wait({idle})


async def test_the_report_of_a_challenge_comes_before_the_next_answer(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec
) -> None:
    reports: list[Challenged] = []
    words = (bytes(frame(Ready())), answered(), bytes(frame(REPORT)), answered(is_challenged=False))
    monkeypatch.setattr(process, "spawn", speaking(*words))
    async with WorkerProcess.started(spec, lambda _: None, None, reports.append) as worker:
        for expected in (True, False):
            assert (await worker.answer([task(b"")], lambda: None)).is_challenged == expected
    assert reports == [REPORT]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (b"", "did not stop its challenge"),
        (LONG, "sent no report of a challenge: a frame"),
        (bytes(frame([["10", "1", 1]])), "sent no report of a challenge"),
        (bytes(frame(Challenged(seconds=float("nan")))), "impossible numbers"),
    ],
    ids=["silent", "long", "unknown", "not a number"],
)
async def test_a_worker_that_does_not_end_its_challenge_properly_is_no_fault_of_the_next_batch(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec, word: bytes, named: str
) -> None:
    monkeypatch.setattr(process, "CHALLENGE_S", 0.2)
    monkeypatch.setattr(process, "spawn", speaking(bytes(frame(Ready())), answered(), word))
    async with WorkerProcess.started(spec, lambda _: None) as worker:
        await worker.answer([task(b"")], lambda: None)
        with pytest.raises(ChallengerDied, match=named):
            await worker.answer([task(b"")], lambda: None)


@pytest.mark.parametrize("lacks", ["socket.socketpair", "os.memfd_create", "asyncio.create_subprocess_exec"])
async def test_what_the_machine_lacks_for_a_worker_is_a_start_that_failed(
    monkeypatch: pytest.MonkeyPatch, spec: WorkerSpec, lacks: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(lacks, fail)
    with pytest.raises(WorkerNotStarted, match=r"a worker cannot be started: \[Errno 24\] Too many open files"):
        async with WorkerProcess.started(spec, lambda _: None):
            pytest.fail("it started")
