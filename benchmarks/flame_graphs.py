"""``python -m benchmarks.flame_graphs``: where the service and a worker spend their time while they drain a backlog.

py-spy looks at a running process from outside, many times a second, and notes what it is doing. It writes one format a
run, so the backlog is drained twice: once for flame graphs, once for stacks as text. The process is not paused for a
look: a pause wakes threads that wait, and they would be counted as if they worked. A look that meets a stack just
changing is dropped. Only the stacks of C code need pauses.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer
import uvloop
from rich.console import Console

from benchmarks.digits import as_png, read_pixels
from benchmarks.drain import wait_until_answered
from benchmarks.py_spy import TracingError, check_tracing, find_tracer, recorded
from broker import Cluster, running_broker
from tests.harness.images import drawn_digits
from tests.harness.processes import workers_of
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

FOLDER: Final = Path(".digitstream") / "profile"
LISTED: Final = 12
"""How many functions are listed for each process."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


class Format(NamedTuple):
    """What py-spy writes."""

    name: str
    ending: str
    by_function: bool
    """Whether the lines of a function are added up. A flame graph of single lines is hard to read."""


FORMATS: Final = (Format("flamegraph", "svg", by_function=True), Format("raw", "txt", by_function=False))


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
                        await recordings.enter_async_context(recorded([*command, *options, *where]))
                    console.print(f"profile: draining {len(backlog):,} images, format {written.name}")
                    await wait_until_answered(broker, ends)
            except TracingError as error:
                refused = error  # raised here, it would print the log of the service, which has no part in it
        if refused:
            raise refused


if __name__ == "__main__":
    app()
