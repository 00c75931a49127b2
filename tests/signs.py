"""Signs of life on a terminal while something takes its time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

SIGN_S: Final = 3.0


@contextlib.contextmanager
def signs(say: Callable[[str], None], what: str | Callable[[], str], every_s: float = SIGN_S) -> Iterator[None]:
    """Say at once and then every few seconds what is waited for, and for how long already.

    Parameters
    ----------
    say
        Shows a line. It is called by a thread, since what is waited for may block.
    what
        Is waited for, or returns it.
    every_s
        Between two lines.
    """
    say(what if isinstance(what, str) else what())
    done = threading.Event()
    started_s = time.monotonic()

    def tell() -> None:
        while not done.wait(every_s):
            now = what if isinstance(what, str) else what()
            say(f"{now} … {time.monotonic() - started_s:.0f} s")

    thread = threading.Thread(target=tell, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
