"""``python -m tests.chaos``: a proof that anyone can run.

Sends images through three instances of the service and three brokers, ends, freezes and cuts them off in a random
order that its seed repeats, and checks that every request was answered once, in order. Exit codes: 0 all is
well, 1 it is not, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import shutil
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.console import Console
from rich.live import Live

from broker import BrokerError
from tests.chaos import chart, report
from tests.chaos.display import Display
from tests.chaos.plan import FULL_IMAGES, FULL_MINUTES
from tests.chaos.run import Options, Run, StalledError, chaos
from tests.chaos.timeline import Timeline

LOGS: Final = "chaos-logs"
EXIT_NOT_CLEAN: Final = 1
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@app.command(help=__doc__)
def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long faults go on; scales their number.")] = FULL_MINUTES,
    images: Annotated[
        int | None, typer.Option(min=1, help=f"At least this many; by default {FULL_IMAGES:,} in {FULL_MINUTES:g} min.")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            help="Of the faults and of the load; by default a random one. Given several times, a run for each."
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Where chaos-report.json and chaos-report.png go; of several runs in seed-N of it.")
    ] = Path(),
) -> None:
    """Run it, show it, write it down."""
    # Our own clients report every broker that is gone; that is what we are here for.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seeds = seed or [random.SystemRandom().randrange(1_000_000)]
    images = images or round(FULL_IMAGES * minutes / FULL_MINUTES)
    clean = True
    for each in seeds:
        where = folder / f"seed-{each}" if len(seeds) > 1 else folder
        where.mkdir(parents=True, exist_ok=True)
        clean &= _is_clean(Options(seed=each, minutes=minutes, images=images), where)
    raise typer.Exit(0 if clean else EXIT_NOT_CLEAN)


def _is_clean(options: Options, folder: Path) -> bool:
    console.print(f"seed {options.seed}: repeat with --seed {options.seed} --minutes {options.minutes:g}")
    logs = Path(tempfile.mkdtemp(prefix="digitstream-chaos-"))
    try:
        data = _run(options, logs)
        report.write(data, folder / "chaos-report.json")
        chart.draw(data, folder / "chaos-report.png")
        _show(data, folder)
        if not data["clean"]:
            _keep(logs, folder / LOGS)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("[red]interrupted; nothing is left running")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokerError as error:
        console.print(f"chaos: {error}", style="red")
        raise typer.Exit(EXIT_NOT_CLEAN) from error
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    return bool(data["clean"])


def _run(options: Options, logs: Path) -> dict[str, Any]:
    events: deque[str] = deque(maxlen=100)
    say = events.append if console.is_terminal else functools.partial(console.print, markup=False)
    run = Run(options, Timeline(say))
    stalled = None
    with Live(Display(run, events), console=console, transient=True, auto_refresh=console.is_terminal):
        try:
            uvloop.run(chaos(run, logs))
        except StalledError as error:
            stalled = str(error)
    return report.report(run, stalled)


def _show(data: dict[str, Any], folder: Path) -> None:
    for table in report.tables(data):
        console.print(table)
    console.print(f"{data['images']:,} images in {data['requests']:,} requests; audit: {data['audit']}")
    console.print(f"Written: {folder / 'chaos-report.json'}, {folder / 'chaos-report.png'}")
    verdict = "[bold green]clean" if data["clean"] else f"[bold red]NOT clean; all logs are in {folder / LOGS}"
    console.print(f"seed {data['seed']}: {verdict}")


def _keep(logs: Path, folder: Path) -> None:
    """Keep the logs of instances and brokers, not the brokers' data."""
    shutil.rmtree(folder, ignore_errors=True)
    for log in logs.rglob("*.log"):
        if log.name == "server.log" or log.parent == logs:
            kept = folder / log.relative_to(logs)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, kept)


if __name__ == "__main__":
    app()
