"""One worker process, seen from the service: start, ask, and notice at once when it dies or hangs."""

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

from consumer.ending import FAREWELL_S
from consumer.settings import Settings
from consumer.workers.pinned_model import PinnedModel
from consumer.workers.protocol import (
    ANSWERS,
    GREETING,
    LENGTH,
    START_FRAME_BYTES,
    Answers,
    Compiling,
    FrameTooLongError,
    Note,
    Ready,
    Refusal,
    Start,
    Task,
    body_bytes,
    frame,
)
from consumer.workers.sealed_memory import writable
from contract.errors import ErrorCode
from transport.errors import InvalidSettingError, leaf_exceptions

START_TIMEOUT_S: Final = 300
"""For imports, the model and its warm-up: about a second; but where nothing is compiled yet, half a minute of
work for each worker, and more on a busy machine."""
LOOKS_PER_TIMEOUT: Final = 10
"""How often, within one item's timeout, the service looks whether the worker has moved."""
NOT_FOR_WORKERS: Final = ("DIGITS_KAFKA", "OTEL_", "AWS_")
"""Variables that begin with one of these, in capitals or not, may hold secrets, and workers read untrusted bytes."""
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        # One process a core: threads of a numeric library would only fight over it.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # glibc otherwise keeps what large images have used, in pieces, and reserves more when memory is short: what
        # is left for an image would depend on those before.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
        "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
    }
)
"""Of every worker."""
READ_BUFFER_BYTES: Final = 1024 * 1024


class Suspect(NamedTuple):
    """The item that a worker was on when it ended, as the worker itself had noted."""

    partition: int
    offset: int
    item: int
    """Its index in the record."""


class WorkerDied(Exception):  # noqa: N818  # it names what happened; the quarantine decides what follows
    """A worker has ended, or was killed since it made no progress.

    Attributes
    ----------
    code
        Of the contract: worker-crashed or worker-timeout.
    suspect
        The item that it was on; None if it had not begun, or was on many items at once.
    is_bystander
        True for a job that shared the worker with the suspect's; then `suspect` is None.
    on_many_items
        True if it was on many items at once, any of which may be the cause; then `suspect` is None.
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

    def seen_by_bystander(self) -> WorkerDied:
        """Return the same death for a job that does not hold the suspect."""
        return WorkerDied(str(self), self.code, is_bystander=True)


class WorkerNotStarted(Exception):  # noqa: N818  # as above
    """A worker has ended before it was ready, or could not be started at all."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What every worker is started with."""

    model: PinnedModel
    limits: dict[str, int]
    results_bytes: int
    memory_bytes: int
    item_timeout_s: float
    record_timeout_s: float

    @classmethod
    def of(cls, settings: Settings, model: PinnedModel) -> WorkerSpec:
        """Take it from the settings of the service."""
        return cls(
            model=model,
            limits=asdict(settings.limits),
            results_bytes=settings.echo.results_bytes,
            memory_bytes=settings.worker_memory_bytes,
            item_timeout_s=settings.item_timeout_s,
            record_timeout_s=settings.record_timeout_s,
        )


class WorkerProcess:
    """A started worker. Owner: one task ``worker N`` of the pool."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: Note,
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
        """Start a worker, greet it, and end it on the way out.

        Parameters
        ----------
        spec
            What it is started with.
        on_compiling
            Called again and again before it is ready, if it has to compile the engine's loops.
        may_load
            The worker starts at once, but loads the model, and compiles, only when this is set.

        Raises
        ------
        WorkerNotStarted
            There was no process, memory or file descriptor left for it; or it ended, or said nothing, before it was
            ready.
        InvalidSettingError
            It refuses to serve: the model does not read as it did when it was saved.
        """
        async with contextlib.AsyncExitStack() as stack:
            try:
                worker = await cls._start(spec, stack)
                if may_load is not None:
                    await may_load.wait()
                await worker.greet(on_compiling)
            except OSError as error:
                raise WorkerNotStarted(f"a worker cannot be started: {error}") from error
            yield worker

    @classmethod
    async def _start(cls, spec: WorkerSpec, stack: contextlib.AsyncExitStack) -> WorkerProcess:
        """Start a worker; the stack undoes all that was done, also where this fails half-way."""
        note_file = stack.enter_context(writable("digitstream-note", Note.SIZE_BYTES))
        note = mmap.mmap(note_file.fileno(), Note.SIZE_BYTES)
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)  # nothing, once the writer has closed it
        with theirs:  # the worker's end lives in the worker alone: its death is our end-of-file
            process = await _spawn(channel=theirs.fileno(), note=note_file.fileno(), model=spec.model.arrays.fileno())
        stack.push_async_callback(_end, process)
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BUFFER_BYTES)
        stack.callback(writer.close)
        return cls(process, reader, writer, Note(memoryview(note)), spec)

    @property
    def pid(self) -> int:
        """The process: for its figures in ``/proc``."""
        return self._process.pid

    async def answer(self, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        """Have a batch answered.

        Parameters
        ----------
        tasks
            At least one.
        progressed
            Called whenever the worker was seen to have moved on to another item.

        Raises
        ------
        WorkerDied
            The process ended, did not move for the item timeout and was killed, or says what is no answer.
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
            return ANSWERS.decode(body)
        except msgspec.DecodeError as error:  # what it has read may have got the better of it
            raise self._death(tasks, "sent no answers", ErrorCode.WORKER_CRASHED) from error

    async def ended_idle(self) -> None:
        """Return when the worker ends while it has nothing to do; cancel this to use it again."""
        with contextlib.suppress(OSError):
            await self._reader.read(1)

    async def _watch(self, progressed: Callable[[], None]) -> None:
        # Looks are counted, not seconds: a service that was itself stopped for a minute and goes on must
        # not blame the worker, which was stopped with it.
        last, looks = self._note.progress(), 0
        while looks < LOOKS_PER_TIMEOUT:
            await asyncio.sleep(self._spec.item_timeout_s / LOOKS_PER_TIMEOUT)
            progress = self._note.progress()
            if progress == last:
                looks += 1
            else:
                last, looks = progress, 0
                progressed()
        raise _HungError

    def _death(self, tasks: list[Task], how: str, code: ErrorCode) -> WorkerDied:
        position, on_many_items = self._note.position(), self._note.is_together()
        suspect = None
        if position is not None and position[0] < len(tasks):  # what untrusted bytes may have written is no place
            task = tasks[position[0]]
            suspect = Suspect(task.partition, task.offset, position[1])
            where = f"on item {suspect.item} of the record at {task.topic}/{task.partition}/{task.offset}"
        else:
            where = "on many items of its batch at once" if on_many_items else "before its batch"
        return WorkerDied(f"worker {self._process.pid} {how} {where}", code, suspect, on_many_items=on_many_items)

    async def greet(self, on_compiling: Callable[[Compiling], None]) -> None:
        """Have the worker load the model, and wait until it is ready; `started` does this.

        Raises
        ------
        WorkerNotStarted
            It ended, or was not ready in time.
        InvalidSettingError
            It refuses the model.
        """
        spec = self._spec
        start = Start(
            str(spec.model.folder),
            spec.model.manifest_json,
            spec.limits,
            spec.results_bytes,
            spec.memory_bytes,
            spec.record_timeout_s,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._writer.write(frame(start))
                while isinstance(greeting := await self._greeting(), Compiling):
                    on_compiling(greeting)
        except TimeoutError as error:  # before OSError, of which it is a kind
            raise WorkerNotStarted(f"worker {self._process.pid} was not ready in {START_TIMEOUT_S} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} ended before it was ready") from error
        except (FrameTooLongError, msgspec.DecodeError) as error:
            raise WorkerNotStarted(f"worker {self._process.pid} sent no greeting: {error}") from error
        if isinstance(greeting, Refusal):
            raise InvalidSettingError("DIGITS_MODEL", spec.model.folder, greeting.why)

    async def _greeting(self) -> Ready | Refusal | Compiling:
        greeting: Ready | Refusal | Compiling = GREETING.decode(await self._receive(START_FRAME_BYTES))
        return greeting

    async def _receive(self, most_bytes: int) -> bytes:
        header = await self._reader.readexactly(LENGTH.size)
        return await self._reader.readexactly(body_bytes(header, most_bytes))


class _HungError(Exception):
    pass


async def _spawn(*, channel: int, note: int, model: int) -> asyncio.subprocess.Process:
    descriptors = {"--channel": channel, "--note": note, "--model": model}
    return await asyncio.create_subprocess_exec(
        # -P: without it a folder `engine` in the current directory would be imported in the place of ours.
        *(sys.executable, "-P", "-m", "consumer.workers.worker"),
        *(word for name, descriptor in descriptors.items() for word in (name, str(descriptor))),
        stdin=asyncio.subprocess.PIPE,  # closes when we die: the worker's sign to end
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=tuple(descriptors.values()),
        env={name: value for name, value in os.environ.items() if not name.upper().startswith(NOT_FOR_WORKERS)}
        | dict(ENVIRONMENT),
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the worker see its closed channel and leave; kill it if it does not, or is stuck."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await process.wait()
    except TimeoutError:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
