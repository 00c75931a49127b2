"""What a worker process keeps for itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

from consumer.workers.protocol import START_REPLY, Compile, Compiling, frame
from consumer.workers.worker import _CompilationReports, _receive


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


def test_a_worker_asks_before_it_compiles_and_then_only_reports() -> None:
    service, worker = socket.socketpair()
    with service, worker:
        reports = _CompilationReports(worker)
        service.sendall(frame(Compile()))
        reports.send(0, 3)
        reports.send(1, 3)  # it would wait forever if it asked again
        replies = [START_REPLY.decode(_receive(service, 1024)) for _ in range(2)]
    assert [each.done for each in replies if isinstance(each, Compiling)] == [0, 1]
