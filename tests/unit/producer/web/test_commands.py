"""`digit-producer api-key`, `settings` and `serve`, as far as they need no broker."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from producer.cli import app
from producer.commands import serve
from producer.errors import Exit
from producer.web.access.callers import Scope
from producer.web.access.keys import Keys
from producer.web.settings import ServeSettings
from transport.settings.kafka import variables

runner = CliRunner()
ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def thresholds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Do not let `serve` set up log and garbage collector: that holds for the whole process."""
    monkeypatch.setattr(serve, "configure", lambda _settings: None)
    given: list[tuple[int, ...]] = []
    monkeypatch.setattr(gc, "set_threshold", lambda *values: given.append(values))
    return given


def test_a_made_key_is_accepted_and_only_its_hash_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    made = [runner.invoke(app, ["api-key", name]) for name in ("shop", "lab")]
    file.write_text("".join(result.stdout for result in made))
    keys = Keys(file)
    keys.load()
    for result, name in zip(made, ("shop", "lab"), strict=True):
        key = result.stderr.rpartition(" ")[2].strip()
        caller = keys.caller(key)
        assert caller is not None
        assert (caller.tenant, caller.scopes) == (name, frozenset(Scope))
        assert key not in file.read_text()


@pytest.mark.parametrize("name", ["", "two words", 'a"\nscopes = []', "x" * 101])
def test_a_key_with_a_name_that_the_file_cannot_have_is_not_made(name: str) -> None:
    result = runner.invoke(app, ["api-key", "--", name])
    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["serve"], "producer.web.gateway.opening"),
        (["settings"], "producer.web.settings"),
        (["api-key", "shop"], "producer.web.access.keys"),
    ],
)
def test_a_missing_extra_is_named(command: list[str], needed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, needed, None)
    result = runner.invoke(app, command)
    assert result.exit_code == Exit.USAGE
    assert "pip install 'digitstream[web]'" in result.stderr


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_WEB__LISTEN__HOST", "0.0.0.0")  # noqa: S104  # what is refused
    result = runner.invoke(app, ["serve"])
    assert result.exit_code == Exit.USAGE
    assert "keys_file" in result.stderr


def test_an_address_of_sentry_without_its_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "transport.reports.sentry", raising=False)
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    monkeypatch.setenv("DIGITS_SENTRY_DSN", "https://0123456789abcdef@sentry.example/42")
    result = runner.invoke(app, ["serve"])
    assert result.exit_code == Exit.USAGE
    assert "pip install 'digitstream[sentry]'" in result.stderr
    assert "0123456789abcdef" not in result.stderr


def test_the_reference_is_current() -> None:
    made = runner.invoke(app, ["settings", "--markdown"]).stdout
    assert (ROOT / "docs/http-settings.md").read_text(encoding="utf-8") == made, (
        "make it again: .venv/bin/digit-producer settings --markdown > docs/http-settings.md"
    )


def test_the_settings_in_effect_are_printed_as_a_file_that_can_be_sourced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_WEB__ACCESS__CORS_ORIGINS", '["https://a.example"]')
    secret = {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": "a",
        "SASL_PASSWORD": "sesame",
    }
    for name, value in secret.items():
        monkeypatch.setenv(f"DIGITS_KAFKA__{name}", value)
    result = runner.invoke(app, ["settings"])
    assert result.exit_code == Exit.OK
    lines = result.stdout.splitlines()
    assert """DIGITS_WEB__ACCESS__CORS_ORIGINS='["https://a.example"]'""" in lines
    assert "DIGITS_WEB__LISTEN__PORT=8000" in lines
    assert "DIGITS_KAFKA__SASL_PASSWORD='********'" in lines
    assert [line.partition("=")[0] for line in lines if not line.startswith("#")] == list(variables(ServeSettings))


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in variables(ServeSettings).items() if not field.description] == []


def test_a_missing_file_of_keys_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_WEB__ACCESS__KEYS_FILE", "/nowhere/keys.toml")
    result = runner.invoke(app, ["serve"])
    assert result.exit_code == Exit.USAGE
    assert "/nowhere/keys.toml" in result.stderr


def test_the_server_rarely_looks_through_all_its_memory(
    monkeypatch: pytest.MonkeyPatch, thresholds: list[tuple[int, ...]]
) -> None:
    monkeypatch.setenv("DIGITS_WEB__ACCESS__KEYS_FILE", "/nowhere/keys.toml")
    runner.invoke(app, ["serve"])
    young, middle, _ = gc.get_threshold()
    assert thresholds == [(young, middle, serve.FULL_COLLECTION)]
