"""One worker process, seen from the service: starts it, sends batches, and detects when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from consumer.settings import RECEIVED_SHARE, Settings
from consumer.shutdown_timeouts import WORKER_EXIT_TIMEOUT_S
from consumer.workers.checking import InvalidAnswerError, check_answers
from consumer.workers.pinned_model import PinnedModel
from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import (
    ANSWERS,
    LENGTH,
    START_FRAME_BYTES,
    START_REPLY,
    Compiling,
    FrameTooLongError,
    Ready,
    Refusal,
    Rules,
    Start,
    body_bytes,
    frame,
)
from consumer.workers.sealed_memory import writable
from consumer.workers.tasks import WHOLE_BATCH, Answers, Task
from contract.errors import ErrorCode
from transport.errors import InvalidSettingError, leaf_exceptions

START_TIMEOUT_S: Final = 300
"""For imports, the model and its warm-up: about a second. If nothing is compiled yet, compiling takes half a minute,
and more on a busy machine."""
CHECKS_PER_TIMEOUT: Final = 10
"""How often, within the timeout of one item, the service checks whether the worker has made progress."""
HIDDEN_PREFIXES: Final = ("DIGITS_KAFKA", "OTEL_", "AWS_")
"""Prefixes of variables, in upper or lower case, that may contain secrets. Workers read data of untrusted senders, so
they do not get these variables."""
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        # There is one process per core, so the threads of a numeric library would only compete with each other.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # By default, glibc keeps the memory of large images in fragments. The memory that is left for an image would
        # then depend on the images before it.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
        "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
    }
)
"""Variables that are set for every worker."""
READ_BUFFER_BYTES: Final = 1024 * 1024


class Suspect(NamedTuple):
    """The item that a worker read when it ended, from its progress note."""

    partition: int
    offset: int
    item: int
    """Its index in the record; `WHOLE_BATCH`: the batch that holds the record was inflated."""


class WorkerDied(Exception):  # noqa: N818  # it names what happened; the quarantine decides what follows
    """A worker has ended by itself, or was killed because it made no progress.

    Attributes
    ----------
    code
        An error code of the contract: worker-crashed or worker-timeout.
    suspect
        The item that it was reading; None if it had not begun, or was reading many items at once.
    is_bystander
        True for a job that shared the worker with the suspect's; then `suspect` is None.
    on_many_items
        True if it was reading many items at once, any of which may be the cause; then `suspect` is None.
    """

    def __init__(
        self,
        why: str,
        code: ErrorCode,
        suspect: Suspect | None = None,
        *,
        is_bystander: bool = False,
        on_many_items: bool = False,
    ) -> None:
        super().__init__(why)
        self.code = code
        self.suspect = suspect
        self.is_bystander = is_bystander
        self.on_many_items = on_many_items

    def for_bystander(self) -> WorkerDied:
        """Return the same error for a job that does not contain the suspect."""
        return WorkerDied(str(self), self.code, is_bystander=True)


class WorkerNotStarted(Exception):  # noqa: N818  # as above
    """A worker ended before it was ready, or could not be started."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The parameters of every worker process."""

    model: PinnedModel
    rules: Rules
    memory_bytes: int
    item_timeout_s: float

    @classmethod
    def of(cls, settings: Settings, model: PinnedModel) -> WorkerSpec:
        """Build it from the settings of the service."""
        return cls(model, rules_of(settings), settings.worker_memory_bytes, settings.item_timeout_s)


def rules_of(settings: Settings) -> Rules:
    """Return by what workers answer records."""
    return Rules(
        asdict(settings.limits),
        **settings.echo.model_dump(),
        inflated_bytes=settings.worker_memory_bytes // RECEIVED_SHARE,
        record_timeout_s=settings.record_timeout_s,
        reports_failed_items=settings.log.level == "debug",
        reports_sampled=settings.tracing.records_per_s > 0,
    )


class WorkerProcess:
    """A started worker. Owner: one task ``worker N`` of the pool."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: ProgressNote,
        spec: WorkerSpec,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._note = note
        self._spec = spec

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls, spec: WorkerSpec, on_compiling: Callable[[Compiling], None], may_load: asyncio.Event | None = None
    ) -> AsyncIterator[WorkerProcess]:
        """Start a worker, wait until it is ready, and end it when the context closes.

        Parameters
        ----------
        spec
            The parameters of the worker.
        on_compiling
            Called repeatedly before the worker is ready, if it has to compile the engine's loops.
        may_load
            The worker process starts at once, but loads the model, and compiles, only after this is set.

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
                worker = await cls._start(spec, stack)
                if may_load is not None:
                    await may_load.wait()
                await worker.wait_until_ready(on_compiling)
            except OSError as error:
                raise WorkerNotStarted(f"a worker cannot be started: {error}") from error
            yield worker

    @classmethod
    async def _start(cls, spec: WorkerSpec, stack: contextlib.AsyncExitStack) -> WorkerProcess:
        """Start a worker. The stack releases everything that was acquired, even if this fails half-way."""
        note_file = stack.enter_context(writable("digitstream-note", ProgressNote.SIZE_BYTES))
        note = mmap.mmap(note_file.fileno(), ProgressNote.SIZE_BYTES)
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)  # does nothing after the writer has closed the socket
        with theirs:  # only the worker keeps its end open, so its death is an end-of-file here
            process = await _spawn(channel=theirs.fileno(), note=note_file.fileno(), model=spec.model.arrays.fileno())
        stack.push_async_callback(_end, process)
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BUFFER_BYTES)
        stack.callback(writer.close)
        return cls(process, reader, writer, ProgressNote(memoryview(note)), spec)

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
        """
        self._note.clear()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(progressed), name="worker watch")
                self._writer.write(frame(tasks))
                body = await self._receive(self._spec.memory_bytes)
                watch.cancel()
        except ExceptionGroup as errors:
            cause = leaf_exceptions(errors)[0]
            if isinstance(cause, _HungError):
                _kill(self._process)
                raise self._death(tasks, "made no progress", ErrorCode.WORKER_TIMEOUT) from errors
            if isinstance(cause, asyncio.IncompleteReadError | OSError):
                raise self._death(tasks, "ended", ErrorCode.WORKER_CRASHED) from errors
            if isinstance(cause, FrameTooLongError):
                raise self._death(tasks, f"sent {cause}", ErrorCode.WORKER_CRASHED) from errors
            raise
        try:
            answers: Answers = ANSWERS.decode(body)
            check_answers(answers, tasks)
        except (msgspec.DecodeError, InvalidAnswerError) as error:
            raise self._death(tasks, f"sent invalid answers ({error})", ErrorCode.WORKER_CRASHED) from error
        return answers

    async def ended_idle(self) -> None:
        """Return when the worker ends while it is idle. Cancel this before the worker is used again."""
        with contextlib.suppress(OSError):
            await self._reader.read(1)

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

    def _death(self, tasks: list[Task], how: str, code: ErrorCode) -> WorkerDied:
        position, on_many_items = self._note.position(), self._note.is_on_many_items()
        suspect = _suspect(position, tasks) if position is not None else None
        if suspect is not None:
            what = "the batch" if suspect.item == WHOLE_BATCH else f"item {suspect.item}"
            where = f"on {what} of the record at {tasks[0].topic}/{suspect.partition}/{suspect.offset}"
        else:
            where = "on many items of its batch at once" if on_many_items else "before its batch"
        return WorkerDied(f"worker {self._process.pid} {how} {where}", code, suspect, on_many_items=on_many_items)

    async def wait_until_ready(self, on_compiling: Callable[[Compiling], None]) -> None:
        """Send the start frame and wait until the worker is ready. `started` calls this.

        Raises
        ------
        WorkerNotStarted
            It ended, or was not ready in time.
        InvalidSettingError
            It cannot use the model.
        """
        spec = self._spec
        start = Start(
            str(spec.model.folder),
            spec.model.manifest_json,
            spec.memory_bytes,
            spec.rules,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._writer.write(frame(start))
                while isinstance(reply := await self._receive_start_reply(), Compiling):
                    on_compiling(reply)
        except TimeoutError as error:  # must come before OSError, its base class
            raise WorkerNotStarted(f"worker {self._process.pid} was not ready in {START_TIMEOUT_S} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} ended before it was ready") from error
        except (FrameTooLongError, msgspec.DecodeError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} sent no start reply: {error}") from error
        if isinstance(reply, Refusal):
            raise InvalidSettingError("DIGITS_MODEL", spec.model.folder, reply.why)

    async def _receive_start_reply(self) -> Ready | Refusal | Compiling:
        reply: Ready | Refusal | Compiling = START_REPLY.decode(await self._receive(START_FRAME_BYTES))
        return reply

    async def _receive(self, most_bytes: int) -> bytes:
        header = await self._reader.readexactly(LENGTH.size)
        return await self._reader.readexactly(body_bytes(header, most_bytes))


class _HungError(Exception):
    pass


def _suspect(position: tuple[int, int, int], tasks: list[Task]) -> Suspect | None:
    """Return the item of a note; None if there is none, since untrusted bytes may have overwritten the note."""
    place, offset, item = position
    if place >= len(tasks) or not tasks[place].first_offset <= offset < tasks[place].next_offset:
        return None
    return Suspect(tasks[place].partition, offset, item)


async def _spawn(*, channel: int, note: int, model: int) -> asyncio.subprocess.Process:
    descriptors = {"--channel": channel, "--note": note, "--model": model}
    return await asyncio.create_subprocess_exec(
        # Without -P, a folder `engine` in the current directory would be imported instead of ours.
        *(sys.executable, "-P", "-m", "consumer.workers.worker"),
        *(word for name, descriptor in descriptors.items() for word in (name, str(descriptor))),
        stdin=asyncio.subprocess.PIPE,  # it closes when the service ends, and then the worker exits
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=tuple(descriptors.values()),
        env={name: value for name, value in os.environ.items() if not name.upper().startswith(HIDDEN_PREFIXES)}
        | dict(ENVIRONMENT),
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait until the worker exits after its channel was closed; kill it if it does not exit in time."""
    try:
        async with asyncio.timeout(WORKER_EXIT_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
