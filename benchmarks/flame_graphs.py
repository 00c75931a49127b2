"""``python -m benchmarks.flame_graphs``: where the service and a worker spend their time while they drain a backlog.

py-spy looks at a running process from outside, many times a second, and notes what it is doing. It writes one format a
run, so the backlog is drained twice: once for flame graphs, once for stacks as text. The process is not paused for a
look: a pause wakes threads that wait, and they would be counted as if they worked. A look that meets a stack just
changing is dropped. Only the stacks of C code need pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer
import uvloop
from rich.console import Console

from benchmarks.digits import as_png, read_pixels
from benchmarks.drain import wait_until_answered
from broker import Cluster, running_broker
from tests.harness.images import drawn_digits
from tests.harness.processes import workers_of
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

FOLDER: Final = Path(".digitstream") / "profile"
LISTED: Final = 12
"""How many functions are listed for each process."""
END_S: Final = 60.0
"""In which py-spy has to write its file."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


class Format(NamedTuple):
    """What py-spy writes."""

    name: str
    ending: str
    by_function: bool
    """Whether the lines of a function are added up. A flame graph of single lines is hard to read."""


FORMATS: Final = (Format("flamegraph", "svg", by_function=True), Format("raw", "txt", by_function=False))


class TracingError(Exception):
    """py-spy could not do its work; the message is one line for the user."""


@app.command()
def run(
    *,
    mnist: Annotated[Path | None, typer.Option(help="MNIST's folder; by default images drawn on the spot.")] = None,
    images: Annotated[int, typer.Option(min=1_000, help="Images of the backlog.")] = 200_000,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 8,
    rate: Annotated[int, typer.Option(min=1, help="Samples per second.")] = 250,
    native: Annotated[
        bool, typer.Option(help="Show functions of C code, too. Each look then pauses the process.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where to write.")] = FOLDER,
) -> None:
    """Profile the service process and one worker while they drain a backlog.

    For each, an SVG to open in a browser, and a text of stacks with the number of their samples: grep it, or open it
    in https://www.speedscope.app. The functions with the most samples are printed.
    """
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it logs each attempt until new topics have leaders
    try:
        tracer = find_tracer()
        check_tracing(tracer)
        pixels = None if mnist is None else np.random.default_rng(0).permutation(read_pixels(mnist)[0])
        files = drawn_digits(200) if pixels is None else as_png(pixels)
        backlog = [files[number % len(files)] for number in range(images)]
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--rate", str(rate), "--native" if native else "--nonblocking"]
        with running_broker() as cluster:
            for each in FORMATS:
                command = [tracer, "record", *options]
                uvloop.run(
                    _profile(cluster, backlog, partitions=partitions, command=command, written=each, folder=folder)
                )
    except TracingError as error:
        console.print(str(error), style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    for who in ("service", "worker"):
        print(f"\n{who}: % of the samples in the function itself / in it and what it calls")
        for line in most_seen((folder / f"{who}.txt").read_text()):
            print(line)
    print(f"\nwritten to {folder}: " + ", ".join(f"{who}.svg, {who}.txt" for who in ("service", "worker")))


def find_tracer() -> str:
    """Return the path of py-spy. Raises `TracingError` if it is not installed."""
    beside = Path(sys.executable).parent
    found = shutil.which("py-spy", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise TracingError("py-spy is not installed: `make profile` installs it")
    return found


def check_tracing(tracer: str) -> None:
    """Try py-spy on a process that does nothing. Raises `TracingError` with the reason if it may not."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:  # noqa: S603  # ourselves
        try:
            next(iter(idle.stdout or ()), b"")  # now the interpreter has started, and py-spy can recognise it
            dump = [tracer, "dump", "--pid", str(idle.pid)]
            done = subprocess.run(dump, capture_output=True, text=True, check=False)  # noqa: S603  # py-spy
        finally:
            idle.kill()
    if done.returncode != 0:
        raise TracingError(refusal(done.stderr))


def refusal(output: str) -> str:
    """Return one line that says why py-spy failed, and what helps if it may not trace.

    Parameters
    ----------
    output
        What py-spy has written to standard error.
    """
    lowered = output.lower()
    if any(words in lowered for words in ("permission denied", "not permitted", "elevated permissions")):
        return (
            "py-spy may not trace other processes (ptrace): run this as root, or allow it by "
            "`sysctl kernel.yama.ptrace_scope=0`; in a container, by the capability SYS_PTRACE"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"py-spy failed: {lines[-1] if lines else 'it wrote no reason'}"


def most_seen(stacks: str) -> Iterator[str]:
    """List the functions in which a process was seen most often.

    Parameters
    ----------
    stacks
        A line for each stack: its frames from the outermost to the innermost, separated by semicolons, a space, and
        the number of samples. A frame is ``function (file:line)``.

    Yields
    ------
    str
        % of the samples in the function itself, % in it and what it calls, its name; the most in itself first.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        functions = [_without_line(frame) for frame in frames.split(";")]
        own[functions[-1]] += int(count)
        for function in set(functions):  # once, even if it calls itself
            whole[function] += int(count)
    for function, samples in own.most_common(LISTED):
        yield f"{samples / own.total():6.1%} {whole[function] / own.total():6.1%}  {function}"


def _without_line(frame: str) -> str:
    name, colon, line = frame.rpartition(":")
    return f"{name})" if colon and line.rstrip(")").isdigit() else frame


async def _profile(
    cluster: Cluster, backlog: list[bytes], *, partitions: int, command: list[str], written: Format, folder: Path
) -> None:
    """Drain the backlog on fresh topics, and write one format for each process."""
    async with fresh_topics(cluster, partitions=partitions) as broker:
        await broker.send(backlog)
        ends = await broker.end_offsets(broker.topics.requests)
        refused: TracingError | None = None
        async with running_service(broker, workers=None) as service:
            traced = {"service": service.process.pid, "worker": workers_of(service.process.pid)[0]}
            options = ["--format", written.name, *(["--function"] if written.by_function else [])]
            try:
                async with contextlib.AsyncExitStack() as recordings:  # they end while the processes still run
                    for who, pid in traced.items():
                        where = ["--pid", str(pid), "--output", str(folder / f"{who}.{written.ending}")]
                        await recordings.enter_async_context(_recorded([*command, *options, *where]))
                    console.print(f"profile: draining {len(backlog):,} images, format {written.name}")
                    await wait_until_answered(broker, ends)
            except TracingError as error:
                refused = error  # raised here, it would print the log of the service, which has no part in it
        if refused:
            raise refused


@contextlib.asynccontextmanager
async def _recorded(command: list[str]) -> AsyncIterator[None]:
    """Have py-spy record for the length of an ``async with`` block; then it writes its file.

    Raises
    ------
    TracingError
        It failed.
    """
    recording = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself: the exit code says how
            recording.send_signal(signal.SIGINT)
        async with asyncio.timeout(END_S):
            _, output = await recording.communicate()
    finally:
        if recording.returncode is None:
            recording.kill()
            await recording.wait()
    if recording.returncode != 0:
        raise TracingError(refusal(output.decode(errors="replace")))


if __name__ == "__main__":
    app()
