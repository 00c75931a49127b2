"""Processes of ours in which a call that would block the event loop raises instead of waiting."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from blockbuster import BlockBuster

PYTHONPATH: Final = str(Path(__file__).with_name("hooks") / "blocking_guard")
ON_GUARD: Final = "blocking calls raise"
"""What a guarded process says first, on standard error."""
_FILES: Final = ("os.", "io.")
"""Left alone: a file of a few bytes keeps nobody waiting, and the log goes to standard output."""


def forbid_blocking() -> None:
    """Have waits for time, sockets and locks raise wherever an event loop runs in this process."""
    for name, function in BlockBuster(["consumer", "producer", "contract"]).functions.items():
        if not name.startswith(_FILES):
            function.activate()
    print(ON_GUARD, file=sys.stderr)  # noqa: T201  # the test wants to know that it was there
