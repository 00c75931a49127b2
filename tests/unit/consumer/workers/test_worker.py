"""What a worker process keeps for itself."""

from __future__ import annotations

import signal
import subprocess
import sys


def test_a_workers_standard_error_shows_its_crash_and_no_decoder_output() -> None:
    script = (
        "import ctypes, os, sys; from consumer.workers.worker import _silence_stderr; _silence_stderr();"
        "os.write(2, b'\\x1b[31m from a decoder'); print('from Python', file=sys.stderr); ctypes.string_at(0)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGSEGV
    assert b"Segmentation fault" in ended.stderr
    assert b"\x1b" not in ended.stderr
    assert b"from" not in ended.stderr.replace(b"most recent call first", b"")
