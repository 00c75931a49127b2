"""``python -m tests.longest_pause``: how long a command shows nothing."""

from __future__ import annotations

import subprocess
import sys

from tests.longest_pause import TOO_LONG, Pause, Piece, longest_pause


def recorded(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.longest_pause", *options, sys.executable, "-u", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_longest_pause_is_found_with_the_line_before_it() -> None:
    pieces = [Piece(1.0, b"one\r\ntwo\r\n"), Piece(7.5, b"three\r\n"), Piece(8.0, b"")]
    assert longest_pause(pieces) == Pause(6.5, 1.0, "two")


def test_silence_before_the_first_and_after_the_last_output_counts() -> None:
    assert longest_pause([Piece(3.0, b"late\n"), Piece(4.0, b"")]) == Pause(3.0, 0.0, "")
    assert longest_pause([Piece(1.0, b"soon\n"), Piece(6.0, b"")]) == Pause(5.0, 1.0, "soon")


def test_a_command_runs_on_a_terminal_and_its_exit_code_is_kept() -> None:
    done = recorded("import sys; print(sys.stdout.isatty()); sys.exit(3)")
    assert done.returncode == 3
    assert "True" in done.stdout
    assert "exit code 3; longest pause" in done.stdout


def test_a_pause_that_is_too_long_fails() -> None:
    done = recorded("import time; print('before'); time.sleep(0.01); print('after')", "--at-most-s", "0.001")
    assert done.returncode == TOO_LONG
