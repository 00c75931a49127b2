"""Runs a checked model by onnxruntime: in one thread, without memory that is kept, without files."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

LOADING_BYTES: Final = 512 * 1024 * 1024
"""Address space that checking and preparing a model may take, in addition to `COPIES` times its size."""
COPIES: Final = 12
RUNNING_BYTES: Final = 128 * 1024 * 1024
"""Address space that reading may take: a worker has twice as much by default."""

Run = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Takes the input of n pictures, returns the output (n, 10)."""


def open_session(content: bytes, input_name: str, output_name: str) -> Run:
    """Prepare a model whose operators and sizes were checked.

    Raises
    ------
    ValueError
        onnxruntime refuses it.
    """
    options = onnxruntime.SessionOptions()
    # A worker is one process per core: more threads would compete, and threads that spin would use its core.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The memory of one result is returned before the next batch of images is decoded.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # fatal: errors are raised, too
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"onnxruntime refuses it: {' '.join(str(error).split())}") from error

    def run(pictures: NDArray[Any]) -> NDArray[np.float32]:
        (output,) = session.run([output_name], {input_name: pictures})
        return np.asarray(output, np.float32)

    return run


@contextlib.contextmanager
def limited_memory(most_bytes: int) -> Iterator[None]:
    """Limit how much address space this process may take in addition to what it has.

    A small file can declare parts that take gigabytes once they are unpacked; that then fails in this process.

    Raises
    ------
    ValueError
        The limit was reached.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _address_space_bytes() + most_bytes
    if sys.platform == "linux" and (soft == resource.RLIM_INFINITY or limit < soft):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    except MemoryError as error:
        raise ValueError(f"it takes more memory than {most_bytes:,} bytes") from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int:
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
