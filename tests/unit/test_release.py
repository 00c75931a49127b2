"""Every program, the health report and the metrics say which release runs."""

from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from broker.cli import app as broker
from consumer.cli import main as consumer
from consumer.observe.health import Health, ServiceStatus
from consumer.observe.metrics import Metrics
from consumer.observe.views import WorkersView
from consumer.settings import Settings
from engine.cli import main as engine
from engine.model.files import ModelInfo
from producer.cli import app as producer

PROGRAMS = {"digit-broker": broker, "digit-consumer": consumer, "digit-engine": engine, "digit-producer": producer}
VERSION = metadata.version("digitstream")


@pytest.mark.parametrize(("revision", "shown"), [("", ""), ("abc123", " (abc123)")])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_prints_name_version_and_known_revision(
    name: str, revision: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITSTREAM_REVISION", revision)
    ended = CliRunner().invoke(PROGRAMS[name], ["--version"])
    assert (ended.exit_code, ended.stdout) == (0, f"{name} {VERSION}{shown}\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_completes_its_commands(name: str) -> None:
    program: Any = PROGRAMS[name]
    assert "--install-completion" in CliRunner().invoke(program, ["--help"], env={"COLUMNS": "120"}).output
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    asked = {variable: "complete_bash", "COMP_WORDS": f"{name} ", "COMP_CWORD": "1"}
    completed = CliRunner().invoke(program, [], env=asked, prog_name=name).stdout.split()
    assert (
        set(completed)
        >= {
            "digit-broker": {"run"},
            "digit-consumer": {"run", "check", "settings"},
            "digit-engine": {"classify", "train"},
            "digit-producer": {"send", "status", "audit"},
        }[name]
    )


def test_health_and_metrics_name_version_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITSTREAM_REVISION", "abc123")
    metrics = Metrics()
    model = ModelInfo("compact", "1", "0" * 64)
    workers = cast(
        "WorkersView", SimpleNamespace(running=0, compiling=None, model=model, challenger=None, challenger_problem="")
    )
    report = Health(Settings(), workers, ServiceStatus()).report()
    assert (report["version"], report["revision"]) == (VERSION, "abc123")
    assert f'digits_build_info{{revision="abc123",version="{VERSION}"}} 1.0' in metrics.exposition().decode()
