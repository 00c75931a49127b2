"""Ctrl-C ends programs with exit code 130 and no traceback, also in the background of a script (SIGINT ignored)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker import child_process

ROOT = Path(__file__).parent.parent.parent
IN_THE_BACKGROUND = ["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh", sys.executable, "-u"]
"""As a shell starts a command that ends with ``&``."""
IGNORED_SIGNALS = ["grep", "SigIgn", "/proc/self/status"]
COMMANDS = {
    "classify, while it compiles": ["-m", "engine", "classify", "tests/data/digits"],
    "demo, while jars are fetched": ["-m", "tests.demo"],
    "the longest pause": ["-m", "tests.longest_pause", "sh", "-c", "echo begun; sleep 60"],
    "progress lines": ["requirements/shown.py", "begun", "sleep", "60"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_ends_a_program_without_a_traceback(name: str, tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "mvn").chmod(0o755)
    own = {"NUMBA_CACHE_DIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(
        [*IN_THE_BACKGROUND, *COMMANDS[name]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | own | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    ) as process:
        assert process.stdout is not None
        begun = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert begun
    assert "Traceback" not in output
    assert process.returncode == 130, output


def test_children_of_tests_start_with_default_signals() -> None:
    """Nothing could interrupt a child that ignores SIGINT. `broker.child_process` starts brokers and services."""
    child = subprocess.run(IGNORED_SIGNALS, stdout=subprocess.PIPE, check=True)
    with child_process.start_child(IGNORED_SIGNALS, output=subprocess.PIPE) as process:
        assert process.stdout is not None
        by_child_process = process.stdout.read()
    for status in (child.stdout, by_child_process):
        ignored = int(status.split()[1], base=16)
        assert not ignored & (1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1)


def test_children_of_tests_in_the_background_start_with_default_signals() -> None:
    tested = f"{__file__}::{test_children_of_tests_start_with_default_signals.__name__}"
    command = [*IN_THE_BACKGROUND, "-m", "pytest", "-q", "-p", "no:cacheprovider", tested]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout
