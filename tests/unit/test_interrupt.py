"""Ctrl-C ends programs with exit code 130 and no traceback, also where a script started them with SIGINT ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
IN_THE_BACKGROUND = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-u"]
COMMANDS = {
    "classify, while it compiles": ["-m", "engine", "classify", "tests/data/digits"],
    "the demo, while jars are fetched": ["-m", "tests.demo"],
    "the recorder of pauses": ["-m", "tests.longest_pause", "sh", "-c", "echo begun; sleep 60"],
    "what shows signs of life": ["requirements/shown.py", "begun", "sleep", "60"],
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
        told, _ = process.communicate(timeout=60)
    assert begun
    assert "Traceback" not in told
    assert process.returncode == 130, told
