"""Measures what compiling the engine costs the first process that uses it.

The engine is loaded and warmed up in a process of its own whose cache folder is empty. Processor time is counted, so
waiting does not matter; other load on the machine still makes the figure larger by its effect on the caches.

Run as a module, this is that process, and prints the figures as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Final

from numba.core import event
from rich.console import Console

from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model

LISTED: Final = 10
"""How many of the most expensive functions are named."""


def measure(*, console: Console) -> dict[str, Any]:
    """Compile the engine with an empty cache.

    Returns
    -------
    dict
        ``cpu_s`` in total; ``functions`` that were compiled; ``most_expensive``, a list of names with the processor
        time in s that each took itself, without the functions that it calls.
    """
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-m", "benchmarks.compilation"]
        environment = os.environ | {"NUMBA_CACHE_DIR": empty}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603  # this module
    figures: dict[str, Any] = json.loads(done.stdout)
    console.print("compile: {cpu_s:.1f} s of processor time for {functions} functions".format(**figures))
    for name, own_s in figures["most_expensive"]:
        console.print(f"  {own_s:6.2f} s  {name}", highlight=False)
    return figures


class _Costs(event.Listener):  # type: ignore[misc]  # numba has no types
    """Adds up the processor time of each function, without that of the functions compiled meanwhile for it."""

    def __init__(self) -> None:
        self.own_s: dict[str, float] = {}
        self._open: list[list[float]] = []

    def on_start(self, _: Any) -> None:
        self._open.append([time.process_time(), 0.0])

    def on_end(self, event: Any) -> None:
        started_s, called_s = self._open.pop()
        whole_s = time.process_time() - started_s
        function = event.data["dispatcher"].py_func
        name = f"{function.__module__}.{function.__qualname__}"
        self.own_s[name] = self.own_s.get(name, 0.0) + whole_s - called_s
        if self._open:
            self._open[-1][1] += whole_s


def main() -> None:
    """Compile everything and print what it cost."""
    costs = _Costs()
    event.register("numba:compile", costs)
    began_s = time.process_time()
    Reader(Classifier.load(default_model()), Limits()).warm_up()
    cpu_s = time.process_time() - began_s
    ranked = sorted(costs.own_s.items(), key=lambda each: -each[1])
    print(json.dumps({"cpu_s": cpu_s, "functions": len(ranked), "most_expensive": ranked[:LISTED]}))


if __name__ == "__main__":
    main()
