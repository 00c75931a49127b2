"""Starts our programs so that a call that would block the event loop raises an exception."""

from __future__ import annotations

import sys
from typing import Final

from blockbuster import BlockBuster

from tests.harness.hooked import hooked

PYTHONPATH: Final = hooked("blocking_guard")
ON_GUARD: Final = "blocking calls raise"
"""The first line of a guarded process on standard error."""
_FILES: Final = ("os.", "io.")
"""Calls that may block: small files are read quickly, and the log is written to standard output."""


def forbid_blocking() -> None:
    """Make waits for time, sockets and locks raise in every event loop of this process."""
    for name, function in BlockBuster(["consumer", "producer", "contract"]).functions.items():
        if not name.startswith(_FILES):
            function.activate()
    print(ON_GUARD, file=sys.stderr)  # noqa: T201  # the test checks that the guard was active
