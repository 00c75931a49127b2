"""A benchmark with a bar ends with 1 exactly when a figure misses it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import flood, recovery, report

FLOOD = {"images": 1_000, "rounds": [], "alone_images_per_s": 100.0, "beside_images_per_s": 50.0, "bar": 0.5}


def killed(max_s: float) -> dict[str, Any]:
    return {"rounds_s": [1.0, max_s], "median_s": 1.0, "max_s": max_s, "bar_s": 3.0}


@contextlib.contextmanager
def no_broker(**_: object) -> Iterator[None]:
    yield


def run(monkeypatch: pytest.MonkeyPatch, *, share: float, worst_s: float, json_file: Path) -> tuple[int, str]:
    async def flooded(*_: object, **__: object) -> dict[str, Any]:
        return FLOOD | {"share": share}

    async def recovered(*_: object, **__: object) -> dict[str, Any]:
        return {"instance": killed(2.0), "broker, last lane": killed(worst_s)}

    monkeypatch.setattr(command, "running_broker", no_broker)
    monkeypatch.setattr(flood, "measure", flooded)
    monkeypatch.setattr(recovery, "measure", recovered)
    ended = CliRunner().invoke(command.app, ["flood", "recovery", "--images", "1000", "--json", str(json_file)])
    return ended.exit_code, json_file.read_text()


@pytest.mark.parametrize(
    ("share", "worst_s", "exit_code"), [(0.5, 3.0, 0), (0.49, 3.0, 1), (0.5, 3.01, 1), (0.49, 3.01, 1)]
)
def test_a_missed_bar_sets_the_exit_code_and_the_figures_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float, worst_s: float, exit_code: int
) -> None:
    ended, written = run(monkeypatch, share=share, worst_s=worst_s, json_file=tmp_path / "figures.json")
    assert ended == exit_code
    assert f'"max_s": {worst_s}' in written


def test_every_missed_bar_is_named() -> None:
    measured = {"flood": FLOOD | {"share": 0.25}, "recovery": {"instance": killed(2.0), "broker": killed(4.5)}}
    assert list(report.misses(measured)) == [
        "beside a flood legal traffic keeps 25% of its rate, not 50%",
        "killed broker: results took 4.50 s, not 3 s",
    ]
