"""Runs a command that must not outlive the process that started it.

The starter runs this file with a pipe as standard input, holds the other end and never writes.
The process becomes the command (exec), so its pid, its signals and its exit code are the command's.
A watcher, forked off before, waits on two pipes:

the starter's   closes when the starter ends, by SIGKILL too: the watcher ends the command
the command's   closes when the command ends: the watcher ends

The file is run by path and imports nothing of the project: it should be up within milliseconds.
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
"""From SIGTERM to SIGKILL, for a command whose starter has gone."""
STARTER_ENDED: Final = 0
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
        The program and its arguments. It leads a session of its own: Ctrl-C in a terminal reaches the
        starter alone, which then stops it in good order.
    output
        Where its standard output and error go.
    cwd, env
        As for `subprocess.Popen`.
    inherited_fds
        File descriptors that the command holds until it ends: a lock, say.

    Returns
    -------
    subprocess.Popen
        Of the command itself. Its `stdin` is the lifeline: closing it ends the command.
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
        # The watcher is a grandchild: it belongs to init, so the command has no child it does not know.
        if os.fork() == 0:
            _watch_parent(os.getpgrp(), command_ended)
        os._exit(0)
    os.waitpid(middle, 0)
    os.set_inheritable(held_by_command, True)
    os.dup2(os.open(os.devnull, os.O_RDONLY), STARTER_ENDED)
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def _watch_parent(command: int, command_ended: int) -> None:
    """Wait for either end. `command` is the pid and the group of a process that leads its session."""
    os.setsid()  # the last resort below is for the command's group, not for us
    os.dup2(command_ended, COMMAND_ENDED)
    os.closerange(COMMAND_ENDED + 1, os.sysconf("SC_OPEN_MAX"))  # whatever else is open is the command's affair
    ended, _, _ = select.select([STARTER_ENDED, COMMAND_ENDED], [], [])
    if COMMAND_ENDED in ended:
        return
    os.kill(command, signal.SIGTERM)
    if not select.select([COMMAND_ENDED], [], [], GRACE_S)[0]:
        os.killpg(command, signal.SIGKILL)


if __name__ == "__main__":
    _exec(sys.argv[1:])
