"""A worker process: answers record batches with record batches of results.

start     exit when the parent exits; load and warm up the model, and check its canaries; if something has to be
          compiled for that, ask the service first; then limit address space, files, core dumps and standard error,
          since from now on the process reads untrusted bytes
answer    see `consumer.workers.answering.processor`
challenge read a share of the pictures with another model while there is no next batch: `consumer.workers.challenge`

`consumer.workers.quarantine` handles items that end the process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import mmap
import os
import resource
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.batches import scanning
from consumer.workers.challenge.challenger import Challenger
from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import (
    COMPILE,
    LENGTH,
    START,
    START_FRAME_BYTES,
    TASKS,
    Compiling,
    FrameTooLongError,
    Ready,
    Refusal,
    Start,
    StartModel,
    body_bytes,
    frame,
)
from consumer.workers.sealed_memory import content_of
from engine.compiled import cache_problem, compilation_reported
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.model.files import ModelError, ModelFiles
from engine.reader import Reader

PR_SET_PDEATHSIG: Final = 1
CHALLENGE_MEMORY_BYTES: Final = 64 * 1024 * 1024
"""Address space for the challenger: what it keeps must not take that of large images."""
NEXT_BATCH_MS: Final = 2
"""For how long a worker waits for its next batch before it begins a challenge: under load the next one is there."""


def main() -> None:
    """Serve one channel until it closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of a connected socket")
    parser.add_argument("--note", type=int, required=True, help="file descriptor of the memory of the progress note")
    parser.add_argument("--model", type=int, required=True, help="file descriptor of the model's arrays")
    parser.add_argument("--challenger", type=int, help="file descriptor of the arrays of another model")
    arguments = parser.parse_args()
    _die_with_parent()
    channel = socket.socket(fileno=arguments.channel)
    note = ProgressNote(memoryview(mmap.mmap(arguments.note, ProgressNote.SIZE_BYTES)))
    # These errors mean that the service has ended, or does not follow the protocol. Then the worker ends, too.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError, FrameTooLongError):
        start = START.decode(_receive(channel, START_FRAME_BYTES))
        _leave_out_linear_algebra()
        with compilation_reported(_CompilationReports(channel).send):
            try:
                files = _model_files(start.model, arguments.model)
                classifier = Classifier.load_files(files)
            except ModelError as error:
                channel.sendall(frame(Refusal(str(error))))
                return
            reader = Reader(classifier, Limits(**start.rules.limits))
            reader.warm_up()
            scanning.warm_up()
            challenger, problem = _challenger(start, arguments.challenger)
        _limit_resources(start.memory_bytes + (CHALLENGE_MEMORY_BYTES if challenger else 0))
        _silence_stderr()
        info = classifier.info
        processor = BatchProcessor(
            reader,
            {"name": info.name, "version": info.version, "sha256": info.sha256},
            note,
            start.rules,
            challenger,
            manifest_sha256=files.manifest_sha256,
            bins=classifier.bins,
        )
        del files  # the arrays are in the classifier
        channel.sendall(frame(Ready(problem)))
        while True:
            answers = processor.answer(TASKS.decode(_receive(channel, start.memory_bytes)))
            channel.sendall(frame(answers))
            is_challenged = answers.is_challenged
            del answers
            if is_challenged:
                channel.sendall(frame(processor.challenge(_NextBatch(channel).has_come)))


class _NextBatch:
    """Looks whether the next batch has come; the first time, it waits for it a moment."""

    def __init__(self, channel: socket.socket) -> None:
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._wait_ms = NEXT_BATCH_MS

    def has_come(self) -> bool:
        wait_ms, self._wait_ms = self._wait_ms, 0
        return bool(self._poll.poll(wait_ms))


class _CompilationReports:
    """Reports to the service that something is being compiled; before it begins, the service allows it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._is_allowed = False

    def send(self, done: int, total: int) -> None:
        """Send a report. After the first one, wait until the service allows to compile."""
        self._channel.sendall(frame(Compiling(done, total, cache_problem())))
        if not self._is_allowed:
            COMPILE.decode(_receive(self._channel, START_FRAME_BYTES))
            self._is_allowed = True


def _leave_out_linear_algebra() -> None:
    """Keep numba from importing scipy's linear algebra, which none of our loops uses: that takes a fifth of a second.

    It imports scipy where it is installed, which our own requirements do not ask for.
    """
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # documented: importing it then fails


def _model_files(model: StartModel, arrays: int) -> ModelFiles:
    """Return a model that the service has read. Its files may have changed since then."""
    files = ModelFiles.checked(Path(model.folder), model.manifest_json, content_of(arrays))
    os.close(arrays)
    return files


def _challenger(start: Start, arrays: int | None) -> tuple[Challenger | None, str]:
    """Load the challenger, if there is one; or say why it is not used. Whatever is wrong with it, the worker serves."""
    if start.challenger is None or arrays is None:
        return None, ""
    try:
        classifier = Classifier.load_files(_model_files(start.challenger, arrays))
        limits = Limits(**start.rules.limits)
        challenger = Challenger(classifier, limits, keeps_disputed=start.rules.reports_disputed)
        challenger.warm_up()
    except ModelError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001  # it is no reason to end
        return None, f"{type(error).__name__} while it was loaded"
    return challenger, ""


def _receive(channel: socket.socket, most_bytes: int) -> bytearray:
    header = _receive_exactly(channel, LENGTH.size)
    return _receive_exactly(channel, body_bytes(header, most_bytes))


def _receive_exactly(channel: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    received = 0
    while received < size:
        part = channel.recv_into(view[received:])
        if part == 0:
            raise EOFError
        received += part
    return buffer


def _die_with_parent() -> None:
    """Exit when the service exits, however it does so, even in the middle of an item.

    Standard input is a pipe that only the service keeps open; a thread waits for its end. The death signal is needed
    for a worker that is stuck in C code and holds the interpreter lock. Since the signal is sent when the *thread* that
    forked ends, it would not be enough alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is sent to all processes; the service stops its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for the service alone, also where a terminal sends it to all
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def exit_with_parent() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=exit_with_parent, name="parent watch", daemon=True).start()


def _limit_resources(memory_bytes: int) -> None:
    """Limit what untrusted bytes can make this process use: no core dumps, no files, a limit of memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        size_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = size_bytes + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _silence_stderr() -> None:
    """Redirect standard error to /dev/null: decoders written in C print data of an image, with control characters.

    A crash is still reported by the fault handler of the interpreter, which prints functions and lines but no data.
    """
    original = os.dup(sys.stderr.fileno())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    faulthandler.enable(original)


if __name__ == "__main__":
    main()
