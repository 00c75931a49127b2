"""What the event loop of a program logs of errors that no task awaits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from transport.logs import log_unawaited_errors


@contextlib.contextmanager
def logged_unawaited() -> Iterator[list[dict[str, Any]]]:
    """Collect the errors that the event loop would log, with the handler that service and HTTP server have.

    A task or a future reports an error that no task has read when it is deleted: call `gc.collect` before you look.
    """
    logged: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    gc.collect()  # what earlier tests have left
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "default_exception_handler", logged.append)
        patch.setattr(loop, "_exception_handler", log_unawaited_errors)
        yield logged
        gc.collect()
