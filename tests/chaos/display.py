"""What a person sees during a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tests.chaos.run import Run

LAST: Final = 12
"""How many events stay visible."""
RATE_S: Final = 3.0
"""The period over which results per second are averaged."""


class Display:
    """A view of a run; `Live` of rich draws it again several times a second and owns it.

    Parameters
    ----------
    run
        The run; it is only read.
    events
        The lines of the timeline.
    """

    def __init__(self, run: Run, events: deque[str]) -> None:
        self._run = run
        self._events = events

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options  # rich chooses the width
        yield Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        run = self._run
        happened = len(run.timeline.struck)
        yield Text(f"seed {run.options.seed}, {run.timeline.clock()}: {run.phase}", style="bold")
        figures = Table.grid(padding=(0, 2))
        figures.add_row("faults", f"{happened} of {run.faults_planned}", _bar(happened, run.faults_planned))
        if run.load is not None and run.reader is not None:
            figures.add_row("images sent", f"{run.load.images:,}", _bar(run.load.images, run.options.images))
            figures.add_row("results", f"{run.reader.results:,}", f"{self._rate():,.0f} a second")
            figures.add_row("unanswered", f"{run.unanswered():,} requests", "")
            wrong = run.reader.faults + len(run.timeline.findings)
            figures.add_row("wrong so far", Text(str(wrong), style="red" if wrong else "green"), "")
        yield figures
        yield Text("\n".join(list(self._events)[-LAST:]), style="dim")

    def _rate(self) -> float:
        assert self._run.reader is not None
        since_s = time.time() - RATE_S
        seen = self._run.reader.seen_at_s.values()
        return sum(count for each in seen for at_s, count in each[-200:] if at_s > since_s) / RATE_S


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(1, total), completed=min(done, total), width=40)
