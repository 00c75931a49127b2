"""Runs py-spy, which looks at a process from outside and notes what it is doing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

END_S: Final = 60.0
"""In which py-spy has to write its file."""


class TracingError(Exception):
    """py-spy could not do its work; the message is one line for the user."""


def find_tracer() -> str:
    """Return the path of py-spy. Raises `TracingError` if it is not installed."""
    beside = Path(sys.executable).parent
    found = shutil.which("py-spy", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise TracingError("py-spy is not installed: `make profile` installs it")
    return found


def check_tracing(tracer: str) -> None:
    """Try py-spy on a process that does nothing. Raises `TracingError` with the reason if it may not."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:  # noqa: S603  # ourselves
        try:
            next(iter(idle.stdout or ()), b"")  # now the interpreter has started, and py-spy can recognise it
            dump = [tracer, "dump", "--pid", str(idle.pid)]
            done = subprocess.run(dump, capture_output=True, text=True, check=False)  # noqa: S603  # py-spy
        finally:
            idle.kill()
    if done.returncode != 0:
        raise TracingError(refusal(done.stderr))


def refusal(output: str) -> str:
    """Return one line that says why py-spy failed, and what helps if it may not trace.

    Parameters
    ----------
    output
        What py-spy has written to standard error.
    """
    lowered = output.lower()
    if any(words in lowered for words in ("permission denied", "not permitted", "elevated permissions")):
        return (
            "py-spy may not trace other processes (ptrace): run this as root, or allow it by "
            "`sysctl kernel.yama.ptrace_scope=0`; in a container, by the capability SYS_PTRACE"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"py-spy failed: {lines[-1] if lines else 'it wrote no reason'}"


@contextlib.asynccontextmanager
async def recorded(command: list[str]) -> AsyncIterator[None]:
    """Have py-spy record for the length of an ``async with`` block; then it writes its file.

    Raises
    ------
    TracingError
        It failed.
    """
    recording = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself: the exit code says how
            recording.send_signal(signal.SIGINT)
        async with asyncio.timeout(END_S):
            _, output = await recording.communicate()
    finally:
        if recording.returncode is None:
            recording.kill()
            await recording.wait()
    if recording.returncode != 0:
        raise TracingError(refusal(output.decode(errors="replace")))
