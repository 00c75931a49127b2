"""Each seed is a run with its own report. One run that is not clean decides the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.chaos import __main__ as command
from tests.chaos import chart, report
from tests.chaos.run import Options


def report_data(options: Options, *, clean: bool) -> dict[str, Any]:
    return {"clean": clean, "seed": options.seed, "images": options.images, "requests": 1, "audit": {}}


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_run", lambda options, _: report_data(options, clean=options.seed != 2))
    monkeypatch.setattr(chart, "draw", lambda _, path: path.write_bytes(b""))
    monkeypatch.setattr(report, "tables", lambda _: [])


def run(folder: Path, *seeds: int) -> int:
    arguments = [argument for seed in seeds for argument in ("--seed", str(seed))]
    return CliRunner().invoke(command.app, ["--folder", str(folder), "--images", "7", *arguments]).exit_code


@pytest.mark.parametrize(("seeds", "exit_code"), [((1, 3), 0), ((2, 3), 1), ((1, 2), 1)])
def test_every_seed_is_run_and_one_failure_decides_the_exit_code(
    tmp_path: Path, seeds: tuple[int, ...], exit_code: int
) -> None:
    assert run(tmp_path, *seeds) == exit_code
    reports = [json.loads((tmp_path / f"seed-{seed}" / "chaos-report.json").read_text()) for seed in seeds]
    assert [(report["seed"], report["images"]) for report in reports] == [(seed, 7) for seed in seeds]


@pytest.mark.parametrize("seeds", [(1,), ()])
def test_the_report_of_a_single_run_is_in_the_folder_itself(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    assert run(tmp_path / "new", *seeds) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["chaos-report.json", "chaos-report.png"]
