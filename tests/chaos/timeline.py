"""The time line of a run: what happened, in order. Display, report and chart share it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.chaos.plan import Kind


@dataclass(slots=True)
class Struck:
    """A fault that happened. All times are epoch seconds."""

    kind: Kind
    target: str
    began_s: float
    ended_s: float | None = None
    """When it was repaired, so that the process goes on or runs again. None until then."""
    partitions: frozenset[int] = frozenset()
    """The partitions of requests whose answers it delayed."""
    whole_s: float | None = None
    """For a killed broker: when every partition had a leader again and the coordinators answered."""


@dataclass(slots=True)
class Timeline:
    """The time line. Owner: the run; the tasks of all tracks add to it.

    Parameters
    ----------
    show
        Shows a line for each event, when it happens.
    """

    show: Callable[[str], None]
    began_s: float = field(default_factory=time.time)
    struck: list[Struck] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """Events that should not have happened."""

    @contextlib.contextmanager
    def strike(self, kind: Kind, target: str, partitions: frozenset[int] = frozenset()) -> Iterator[Struck]:
        """Note a fault that begins now and is repaired at the end of the block."""
        struck = Struck(kind, target, time.time(), partitions=partitions)
        self.struck.append(struck)
        self.show(f"{self.clock()} {kind}: {target}")
        yield struck
        struck.ended_s = time.time()

    def find(self, what: str) -> None:
        """Note something that should not have happened."""
        self.findings.append(what)
        self.show(f"{self.clock()} NOT EXPECTED: {what}")

    def counts(self) -> Counter[Kind]:
        """Count the faults by kind."""
        return Counter(struck.kind for struck in self.struck)

    def clock(self) -> str:
        """Return the time since the beginning, as m:ss."""
        seconds = int(time.time() - self.began_s)
        return f"{seconds // 60}:{seconds % 60:02}"
