"""``python -m tests.longest_pause COMMAND …``: run a command on a terminal and print its longest pause.

The command gets a terminal of its own, so that it shows what people see. Each piece of its output is written to
standard output after the seconds since the start; a last line names the longest time without any output.

Exit codes: that of the command; 124 if the longest pause is longer than ``--at-most-s``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import signal
import sys
import time
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

TOO_LONG: Final = 124
INTERRUPTED: Final = 130
_PIECE_BYTES: Final = 65_536


class Piece(NamedTuple):
    """Output that came at once from the command."""

    at_s: float
    """Since the command's start."""
    output: bytes
    """Empty once, at its end."""


class Pause(NamedTuple):
    """A time without output."""

    seconds: float
    begin_s: float
    after: str
    """The last line before it."""


def record(command: Sequence[str]) -> Generator[Piece, None, int]:
    """Run a command on a terminal of its own and yield what it shows; return its exit code.

    The generator's value is the exit code, negative if a signal ended it.
    """
    started_s = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        for each in (signal.SIGINT, signal.SIGHUP):  # also where they were ignored, as under nohup
            signal.signal(each, signal.SIG_DFL)
        try:
            os.execvp(command[0], list(command))  # noqa: S606  # no shell is the point
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        os._exit(127)
    try:
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal so, once all processes have closed it
            while output := os.read(terminal, _PIECE_BYTES):
                yield Piece(time.monotonic() - started_s, output)
        yield Piece(time.monotonic() - started_s, b"")
    finally:
        os.close(terminal)  # hangs up: what still runs on it ends
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def longest_pause(pieces: Sequence[Piece]) -> Pause:
    """Find the longest time without output, from the start to the end."""
    longest, last_s, last = Pause(0.0, 0.0, ""), 0.0, ""
    for piece in pieces:
        if piece.at_s - last_s > longest.seconds:
            longest = Pause(piece.at_s - last_s, last_s, last)
        last_s = piece.at_s
        lines = [line for line in piece.output.decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1].strip() if lines else last
    return longest


def main() -> int:
    """Record a command, show its output, and compare its longest pause with the limit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored, as in a script's background
    parser = argparse.ArgumentParser(prog="python -m tests.longest_pause", description=__doc__)
    parser.add_argument("--at-most-s", type=float, default=None, help="fail if a pause is longer")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("name a command")
    pieces: list[Piece] = []
    code = 0
    recording = record(arguments.command)
    while True:
        try:
            piece = next(recording)
        except StopIteration as ended:
            code = int(ended.value)
            break
        pieces.append(piece)
        for line in piece.output.decode(errors="replace").splitlines():
            print(f"{piece.at_s:7.2f}  {line}", flush=True)
    pause = longest_pause(pieces)
    print(
        f"{pieces[-1].at_s:.1f} s in all, exit code {code}; longest pause {pause.seconds:.1f} s, "
        f"from {pause.begin_s:.1f} s on, after {pause.after!r}"
    )
    if arguments.at_most_s is not None and pause.seconds > arguments.at_most_s:
        return TOO_LONG
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
