"""Lines on a terminal that show that something slow is still going on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

LINE_INTERVAL_S: Final = 3.0


@contextlib.contextmanager
def progress_lines(
    show: Callable[[str], None], what: str | Callable[[], str], every_s: float = LINE_INTERVAL_S
) -> Iterator[None]:
    """Show at once, and then every few seconds, what is waited for and for how long already.

    Parameters
    ----------
    show
        Shows a line. A thread calls it, because what is waited for may block the caller.
    what
        What is waited for, or a function that returns it.
    every_s
        Seconds between two lines.
    """
    show(what if isinstance(what, str) else what())
    done = threading.Event()
    started_s = time.monotonic()

    def repeat() -> None:
        while not done.wait(every_s):
            now = what if isinstance(what, str) else what()
            show(f"{now} … {time.monotonic() - started_s:.0f} s")

    thread = threading.Thread(target=repeat, name="progress lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
