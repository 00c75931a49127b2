"""A short run of the fuzzer, and what it stands on: `make fuzz` runs it for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import InternalError
from engine.reader import Outcome
from tests.data.hostile import payloads
from tests.fuzz import judge as judge_module
from tests.fuzz.judge import Finding, Judge
from tests.fuzz.mutate import mutate
from tests.hostile.case import SEVEN
from tests.hostile.zips import Entry, archive

SECONDS = 20
EXECUTIONS_MIN = 200
"""The seeds alone are more, and a machine that is very busy may not get through them."""


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.mark.slow  # about twenty seconds of processor time
def test_a_short_run_of_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine: the fuzzer is left out")
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", str(SECONDS / 60), "--folder", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr + (tmp_path / "log").read_text(errors="replace")[-5_000:]
    assert int(ended.stdout.split()[0].replace(",", "")) >= EXECUTIONS_MIN


@pytest.mark.slow  # reads the whole corpus
def test_the_judge_lets_the_corpus_pass(judge: Judge) -> None:
    small = [case for case in payloads().values() if case.value and len(case.value) < 2_000]
    assert all(len(judge(case.value or b"")) == len(case.expected) for case in small)


@pytest.mark.parametrize("raised", [RuntimeError("a defect of ours"), MemoryError()])
def test_the_judge_distinguishes_our_defects_from_damaged_pictures(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def defective(*_: object) -> None:
        raise raised

    monkeypatch.setattr("engine.reader.decode", defective)
    with pytest.raises(Finding, match=r"internal-error|out-of-memory"):
        judge(SEVEN)


def test_the_judge_finds_a_defect_that_is_reported_as_damage(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.codecs.pixels.png.grey", None)  # our own line trips over it, where damage is expected
    with pytest.raises(Finding, match="AttributeError out of our own code"):
        judge(SEVEN)


def test_the_judge_finds_what_takes_too_long(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_IMAGE_S", 0.0)
    assert judge(archive(Entry(), Entry()))
    with pytest.raises(Finding, match="of processor time"):
        judge(SEVEN)


def test_the_judge_wants_exactly_one_of_reading_and_error() -> None:
    with pytest.raises(Finding, match="neither"):
        judge_module._check(Outcome())
    with pytest.raises(Finding, match="internal-error"):
        judge_module._check(Outcome(error=InternalError("Something failed.")))


@pytest.mark.parametrize("payload", [SEVEN, archive(Entry(), Entry(b"2.png")), b"GIF89a" + bytes(50)])
def test_changes_stay_within_their_size_and_come_again_with_their_seed(judge: Judge, payload: bytes) -> None:
    def change(data: bytes, max_bytes: int) -> bytes:
        return (data[: len(data) // 2] + b"\xff" + data[len(data) // 2 + 1 :])[:max_bytes]

    for seed in range(60):
        changed = mutate(payload, 2_000, seed, change)
        assert len(changed) <= 2_000
        assert changed == mutate(payload, 2_000, seed, change)
        judge(changed)


def test_a_change_gets_past_checksums(judge: Judge) -> None:
    def change(data: bytes, _: int) -> bytes:
        return bytes([data[0] ^ 1]) + data[1:]

    ends = {end for seed in range(100) for end in judge(mutate(SEVEN, 2_000, seed, change))}
    assert len(ends - {"damaged-image"}) > 1
