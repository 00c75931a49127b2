"""Runs a command that ends when the process that started it (the parent) ends.

The parent runs this file with a pipe as standard input, keeps the other end open and never writes to it. The process
becomes the command (exec), so the command has its pid, its signals and its exit code. A watcher, which is forked
before, waits for the end of two pipes:

the parent's    it closes when the parent ends, also by SIGKILL: the watcher ends the command
the command's   it closes when the command ends: the watcher ends

The file is run by its path and imports nothing of the project, so that it starts within milliseconds.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

GRACE_S: Final = 10.0
"""The time from SIGTERM to SIGKILL for a command whose parent has ended."""
PARENT_ENDED: Final = 0
COMMAND_ENDED: Final = 1
"""File descriptors of the watcher: the reading ends of the two pipes."""


def start_child(
    command: list[str],
    *,
    output: IO[bytes] | int,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    inherited_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a command that ends when this process does.

    Parameters
    ----------
    command
        The program and its arguments. It runs in a new session, so Ctrl-C in a terminal reaches only the parent,
        which then stops the command.
    output
        The file for its standard output and error.
    cwd, env
        As for `subprocess.Popen`.
    inherited_fds
        File descriptors that stay open in the command, such as that of a lock.

    Returns
    -------
    subprocess.Popen
        The command. Closing its `stdin` ends it.
    """
    return subprocess.Popen(  # noqa: S603  # the caller's command
        [sys.executable, "-I", "-S", __file__, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=env,
        start_new_session=True,
        pass_fds=inherited_fds,
    )


def _exec(command: list[str]) -> None:
    command_ended, held_by_command = os.pipe()
    middle = os.fork()
    if middle == 0:
        # The watcher is a grandchild, which init adopts, so the command has no unknown child process.
        if os.fork() == 0:
            _watch_parent(os.getpgrp(), command_ended)
        os._exit(0)
    os.waitpid(middle, 0)
    os.set_inheritable(held_by_command, True)
    os.dup2(os.open(os.devnull, os.O_RDONLY), PARENT_ENDED)
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def _watch_parent(command: int, command_ended: int) -> None:
    """Wait until the parent or the command ends. `command` is the command's process and group id."""
    os.setsid()  # so that the SIGKILL below does not end this process
    os.dup2(command_ended, COMMAND_ENDED)
    os.closerange(COMMAND_ENDED + 1, os.sysconf("SC_OPEN_MAX"))  # all other files belong to the command
    ended, _, _ = select.select([PARENT_ENDED, COMMAND_ENDED], [], [])
    if COMMAND_ENDED in ended:
        return
    os.kill(command, signal.SIGTERM)
    if not select.select([COMMAND_ENDED], [], [], GRACE_S)[0]:
        os.killpg(command, signal.SIGKILL)


if __name__ == "__main__":
    _exec(sys.argv[1:])
