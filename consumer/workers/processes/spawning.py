"""Starts the process of a worker, with an environment without secrets, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from consumer.shutdown_timeouts import WORKER_EXIT_TIMEOUT_S

HIDDEN_PREFIXES: Final = ("DIGITS_KAFKA", "DIGITS_SENTRY", "SENTRY_", "OTEL_", "AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of variables, in upper or lower case, that may contain secrets. Workers read data of untrusted senders, so
they do not get these variables."""
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        # There is one process per core, so the threads of a numeric library would only compete with each other.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # By default, glibc keeps the memory of large images in fragments. The memory that is left for an image would
        # then depend on the images before it.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
        "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
    }
)
"""Variables that are set for every worker."""


async def spawn(*, channel: int, note: int, model: int, challenger: int | None = None) -> asyncio.subprocess.Process:
    """Start a worker, which inherits file descriptors: its socket, its progress note and the arrays of its models.

    Raises
    ------
    OSError
        The machine has no process or memory left for it.
    """
    descriptors = {"--channel": channel, "--note": note, "--model": model}
    if challenger is not None:
        descriptors["--challenger"] = challenger
    return await asyncio.create_subprocess_exec(
        # Without -P, a folder `engine` in the current directory would be imported instead of ours.
        *(sys.executable, "-P", "-m", "consumer.workers.worker"),
        *(word for name, descriptor in descriptors.items() for word in (name, str(descriptor))),
        stdin=asyncio.subprocess.PIPE,  # it closes when the service ends, and then the worker exits
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=tuple(descriptors.values()),
        env={name: value for name, value in os.environ.items() if not name.upper().startswith(HIDDEN_PREFIXES)}
        | dict(ENVIRONMENT),
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Wait until the worker exits after its channel was closed; kill it if it does not exit in time."""
    try:
        async with asyncio.timeout(WORKER_EXIT_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        kill(process)
        await process.wait()


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a worker, unless it has ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
