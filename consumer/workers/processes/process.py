"""One worker process, seen from the service: starts it, sends batches, and detects when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from consumer.workers.challenge.report import REPORT, Challenged
from consumer.workers.processes.checking import InvalidAnswerError, check_answers
from consumer.workers.processes.deaths import ChallengerDied, WorkerNotStarted, death_of
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spawning import end, kill, spawn
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import (
    ANSWERS,
    LENGTH,
    START_FRAME_BYTES,
    START_REPLY,
    Compile,
    Compiling,
    FrameTooLongError,
    Ready,
    Refusal,
    Start,
    StartModel,
    body_bytes,
    frame,
)
from consumer.workers.sealed_memory import writable
from consumer.workers.tasks import Answers, Task
from contract.errors import ErrorCode
from transport.errors import InvalidSettingError, leaf_exceptions

START_TIMEOUT_S: Final = 300
"""For imports, the model and its warm-up: about a second. If nothing is compiled yet, compiling takes half a minute,
and more on a busy machine."""
CHECKS_PER_TIMEOUT: Final = 10
"""How often, within the timeout of one item, the service checks whether the worker has made progress."""
READ_BUFFER_BYTES: Final = 1024 * 1024
CHALLENGE_S: Final = 2.0
"""A worker that has not stopped its challenge for so long is killed, since a batch waits for it. A step takes 2 ms."""


class WorkerProcess:
    """A started worker. Owner: one task ``worker N`` of the pool."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: ProgressNote,
        spec: WorkerSpec,
        *,
        on_challenged: Callable[[Challenged], None],
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._note = note
        self._spec = spec
        self._on_challenged = on_challenged
        self._body_bytes: int | None = None
        """Of the frame whose length was received."""
        self._is_challenging = False
        """True from an answer that announces the report of a challenge until this report."""
        self.challenger_problem = ""
        """Why it does not use the challenger that it was started with; empty if it does."""

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls,
        spec: WorkerSpec,
        on_compiling: Callable[[Compiling], None],
        may_compile: asyncio.Event | None = None,
        on_challenged: Callable[[Challenged], None] | None = None,
    ) -> AsyncIterator[WorkerProcess]:
        """Start a worker, wait until it is ready, and end it when the context closes.

        Parameters
        ----------
        spec
            The parameters of the worker.
        on_compiling
            Called repeatedly before the worker is ready, if it has to compile the engine's loops.
        may_compile
            If the worker finds that it has to compile something, it waits until this is set.
        on_challenged
            Called with each report of a challenge.

        Raises
        ------
        WorkerNotStarted
            The machine has no process, memory or file descriptor left for it; or it ended, or did not reply in time,
            before it was ready.
        InvalidSettingError
            It cannot use the model: the model's results differ from those recorded when it was saved.
        """
        async with contextlib.AsyncExitStack() as stack:
            try:
                worker = await cls._start(spec, stack, on_challenged or _ignore)
                await worker.wait_until_ready(on_compiling, may_compile)
            except OSError as error:
                raise WorkerNotStarted(f"a worker cannot be started: {error}") from error
            yield worker

    @classmethod
    async def _start(
        cls, spec: WorkerSpec, stack: contextlib.AsyncExitStack, on_challenged: Callable[[Challenged], None]
    ) -> WorkerProcess:
        """Start a worker. The stack releases everything that was acquired, even if this fails half-way."""
        note_file = stack.enter_context(writable("digitstream-note", ProgressNote.SIZE_BYTES))
        note = mmap.mmap(note_file.fileno(), ProgressNote.SIZE_BYTES)
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)  # does nothing after the writer has closed the socket
        with theirs:  # only the worker keeps its end open, so its death is an end-of-file here
            process = await spawn(
                channel=theirs.fileno(),
                note=note_file.fileno(),
                model=spec.model.arrays.fileno(),
                challenger=None if spec.challenger is None else spec.challenger.arrays.fileno(),
            )
        stack.push_async_callback(end, process)
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BUFFER_BYTES)
        stack.callback(writer.close)
        return cls(process, reader, writer, ProgressNote(memoryview(note)), spec, on_challenged=on_challenged)

    @property
    def pid(self) -> int:
        """The process id, for its figures in ``/proc``."""
        return self._process.pid

    async def answer(self, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        """Send a batch to the worker and return its answers.

        Parameters
        ----------
        tasks
            At least one.
        progressed
            Called whenever a check finds that the worker has begun another item.

        Raises
        ------
        WorkerDied
            The process ended; or made no progress for the item timeout and was killed; or sent invalid answers.
        ChallengerDied
            It ended before it began this batch, while it read with the challenger; or had to be killed there.
        """
        self._note.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._writer.write(frame(tasks))
                await self._end_challenge()
                watch = group.create_task(self._watch(progressed), name="worker watch")
                body = await self._receive(self._spec.memory_bytes)
                watch.cancel()
        except ExceptionGroup as errors:
            cause = leaf_exceptions(errors)[0]
            if isinstance(cause, ChallengerDied):
                raise cause from errors
            if isinstance(cause, _HungError):
                kill(self._process)
                raise death_of(self.pid, self._note, tasks, "made no progress", ErrorCode.WORKER_TIMEOUT) from errors
            if isinstance(cause, asyncio.IncompleteReadError | OSError):
                raise death_of(self.pid, self._note, tasks, "ended", ErrorCode.WORKER_CRASHED) from errors
            if isinstance(cause, FrameTooLongError):
                raise death_of(self.pid, self._note, tasks, f"sent {cause}", ErrorCode.WORKER_CRASHED) from errors
            raise
        try:
            answers: Answers = ANSWERS.decode(body)
            check_answers(answers, tasks)
        except (msgspec.DecodeError, InvalidAnswerError) as error:
            raise death_of(
                self.pid, self._note, tasks, f"sent invalid answers ({error})", ErrorCode.WORKER_CRASHED
            ) from error
        self._is_challenging = answers.is_challenged
        return answers

    async def ended_idle(self) -> None:
        """Return when the worker ends while it is idle. Cancel this before the worker is used again.

        Raises
        ------
        ChallengerDied
            It ended while it read with the challenger.
        """
        await self._receive_challenged()
        with contextlib.suppress(OSError):
            await self._reader.read(1)

    async def _end_challenge(self) -> None:
        """Wait until the worker has stopped its challenge, which it does when it sees that a batch has come."""
        for _ in range(CHECKS_PER_TIMEOUT):  # checks, not seconds: as in `_watch`
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHALLENGE_S / CHECKS_PER_TIMEOUT):
                    await self._receive_challenged()
                return
        kill(self._process)
        raise ChallengerDied(f"worker {self.pid} did not stop its challenge for {CHALLENGE_S:g} s")

    async def _receive_challenged(self) -> None:
        """Receive the report of a challenge, if one is to come. It may be cancelled, and called again."""
        if not self._is_challenging:
            return
        try:
            report: Challenged = REPORT.decode(await self._receive(self._spec.memory_bytes))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ChallengerDied(f"worker {self.pid} ended during a challenge") from error
        except (FrameTooLongError, msgspec.DecodeError) as error:
            raise ChallengerDied(f"worker {self.pid} sent no report of a challenge: {error}") from error
        if not report.is_sound:
            raise ChallengerDied(f"worker {self.pid} sent a report of a challenge with impossible numbers")
        self._is_challenging = False
        self._on_challenged(report)

    async def _watch(self, progressed: Callable[[], None]) -> None:
        # Count checks, not seconds: if the whole service was stopped for a minute, its workers were stopped, too, and
        # must not be killed for it.
        last, checks = self._note.progress(), 0
        while checks < CHECKS_PER_TIMEOUT:
            await asyncio.sleep(self._spec.item_timeout_s / CHECKS_PER_TIMEOUT)
            progress = self._note.progress()
            if progress == last:
                checks += 1
            else:
                last, checks = progress, 0
                progressed()
        raise _HungError

    async def wait_until_ready(
        self, on_compiling: Callable[[Compiling], None], may_compile: asyncio.Event | None = None
    ) -> None:
        """Send the start frame and wait until the worker is ready. `started` calls this.

        Raises
        ------
        WorkerNotStarted
            It ended, or was not ready in time.
        InvalidSettingError
            It cannot use the model.
        """
        spec = self._spec
        challenger = None if spec.challenger is None else _start_model(spec.challenger)
        start = Start(_start_model(spec.model), spec.memory_bytes, spec.rules, challenger)
        try:
            async with asyncio.timeout(START_TIMEOUT_S) as limit:
                self._writer.write(frame(start))
                reply = await self._receive_start_reply()
                if isinstance(reply, Compiling):
                    await self._allow_to_compile(may_compile, limit)
                while isinstance(reply, Compiling):
                    on_compiling(reply)
                    reply = await self._receive_start_reply()
        except TimeoutError as error:  # must come before OSError, its base class
            raise WorkerNotStarted(f"worker {self._process.pid} was not ready in {START_TIMEOUT_S} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} ended before it was ready") from error
        except (FrameTooLongError, msgspec.DecodeError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} sent no start reply: {error}") from error
        if isinstance(reply, Refusal):
            raise InvalidSettingError("DIGITS_MODEL", spec.model.location, reply.why)
        self.challenger_problem = reply.challenger_problem

    async def _allow_to_compile(self, may_compile: asyncio.Event | None, limit: asyncio.Timeout) -> None:
        """Let the worker compile once it may; the time that it has for its start begins again then."""
        if may_compile is not None:
            limit.reschedule(None)
            await may_compile.wait()
            limit.reschedule(asyncio.get_running_loop().time() + START_TIMEOUT_S)
        self._writer.write(frame(Compile()))

    async def _receive_start_reply(self) -> Ready | Refusal | Compiling:
        reply: Ready | Refusal | Compiling = START_REPLY.decode(await self._receive(START_FRAME_BYTES))
        return reply

    async def _receive(self, most_bytes: int) -> bytes:
        # It may be cancelled between the two parts, and called again: `readexactly` takes all or nothing.
        if self._body_bytes is None:
            self._body_bytes = body_bytes(await self._reader.readexactly(LENGTH.size), most_bytes)
        body = await self._reader.readexactly(self._body_bytes)
        self._body_bytes = None
        return body


def _start_model(model: PinnedModel) -> StartModel:
    return StartModel(str(model.folder), model.manifest_json)


def _ignore(_: Challenged) -> None:
    """Stand in for a callback that was not given."""


class _HungError(Exception):
    pass
