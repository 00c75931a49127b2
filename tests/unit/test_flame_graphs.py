"""A profile lists what was seen most, and says in one line why it cannot be made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import flame_graphs, py_spy

STACKS = """\
<module> (a.py:1);outer (a.py:5);inner (b.py:7) 6
<module> (a.py:1);outer (a.py:6);inner (b.py:9) 2
<module> (a.py:1);outer (a.py:6);outer (a.py:6) 2
"""


def test_samples_of_a_function_are_added_up_over_its_lines_and_counted_once_a_stack() -> None:
    assert list(flame_graphs.most_seen(STACKS)) == [" 80.0%  80.0%  inner (b.py)", " 20.0% 100.0%  outer (a.py)"]


def test_frames_of_c_code_have_no_line() -> None:
    assert list(flame_graphs.most_seen("main (a.py:1);write (libc.so.6) 3\n")) == ["100.0% 100.0%  write (libc.so.6)"]


@pytest.mark.parametrize(
    "output",
    [
        "Permission Denied: Try running again with elevated permissions by going 'sudo env ...'\n",
        "Error: Failed to suspend process\nReason: EPERM: Operation not permitted\n",
        "Error: Operation not permitted (os error 1)\n",
        "Error: Permission denied (os error 13)\n",
    ],
)
def test_a_refused_trace_is_one_line_that_names_what_helps(output: str) -> None:
    refusal = py_spy.refusal(output)
    assert "\n" not in refusal
    assert "ptrace_scope" in refusal
    assert "SYS_PTRACE" in refusal


def test_another_failure_of_the_tracer_is_its_own_last_line() -> None:
    assert py_spy.refusal("warning\nError: No such process\n\n") == "py-spy failed: Error: No such process"
    assert py_spy.refusal("") == "py-spy failed: it wrote no reason"


def test_a_profile_that_may_not_trace_ends_with_that_line_before_a_broker_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tracer = tmp_path / "py-spy"
    tracer.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Error: Operation not permitted (os error 1)')\n")
    tracer.chmod(0o755)
    monkeypatch.setattr(flame_graphs, "find_tracer", lambda: str(tracer))
    monkeypatch.setattr(flame_graphs, "running_broker", None)
    ended = CliRunner().invoke(flame_graphs.app, ["--folder", str(tmp_path / "profile")])
    assert ended.exit_code == 1
    assert ended.stderr.startswith("py-spy may not trace other processes")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "profile").exists()


def test_a_missing_tracer_is_one_line_that_names_the_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    ended = CliRunner().invoke(flame_graphs.app)
    assert ended.exit_code == 1
    assert ended.stderr == "py-spy is not installed: `make profile` installs it\n"
