"""The service's settings: what is refused, and that the reference says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer import service
from consumer.cli import main
from consumer.settings import RENAMED, OnLostOffset, Settings
from consumer.shutdown_timeouts import max_shutdown_s
from engine.limits import Limits
from transport.errors import InvalidSettingError
from transport.settings.kafka import SettingsError, load, variables
from transport.settings.logs import LogFormat

ROOT = Path(__file__).parents[3]


def loaded() -> Settings:
    return load(Settings, owns_prefix=True)


def complaint() -> str:
    with pytest.raises(SettingsError) as caught:
        loaded()
    return str(caught.value)


def test_the_defaults_can_be_used() -> None:
    settings = loaded()
    assert settings.limits == Limits()
    assert Path(settings.model, "manifest.json").is_file()
    assert settings.service_faults <= 10


def test_every_group_is_set_by_its_nested_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__ON_LOST_OFFSET", "earliest")
    monkeypatch.setenv("DIGITS_LOG__FORMAT", "json")
    monkeypatch.setenv("DIGITS_LIMITS__PIXELS", "1000000")
    monkeypatch.setenv("DIGITS_ECHO__KEY_BYTES", "10")
    monkeypatch.setenv("DIGITS_WORKERS", "3")
    settings = loaded()
    assert settings.kafka.on_lost_offset is OnLostOffset.EARLIEST
    assert settings.log.format is LogFormat.JSON
    assert settings.limits == Limits(pixels=1_000_000)
    assert settings.echo.key_bytes == 10
    assert settings.workers == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIGITS_WORKERS", "0"),
        ("DIGITS_WORKERS", "two"),
        ("DIGITS_HEALTH__PORT", "65536"),
        ("DIGITS_LOG__LEVEL", "verbose"),
        ("DIGITS_LOG__FORMAT", "xml"),
        ("DIGITS_KAFKA__ON_LOST_OFFSET", "latest"),
        ("DIGITS_KAFKA__WAIT_S", "0"),
        ("DIGITS_PACING__CHUNK_RECORDS", "0"),
        ("DIGITS_LIMITS__PIXELS", "many"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_meaning(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert complaint().startswith(f"{name}='{value}': ")
    assert complaint().endswith(f" ({variables(Settings)[name].description})")


def test_a_limit_that_is_not_positive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_LIMITS__PIXELS", "0")
    assert complaint() == "DIGITS_LIMITS__…: pixels must be at least 1, not 0"


def numeric() -> list[tuple[str, str]]:
    """Pair every setting that is a number with what no number may be."""
    fields = variables(Settings)
    return [
        (name, value)
        for name, field in fields.items()
        if field.annotation in (int, float, "int", "float")
        for value in ("1" + "0" * 20, *(("inf", "nan") if field.annotation is float else ()))
    ]


@pytest.mark.parametrize(("name", "value"), numeric())
def test_every_number_has_an_upper_bound(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert name.removeprefix("DIGITS_LIMITS__").lower() in complaint().lower()


def test_the_description_of_the_drain_names_the_longest_end() -> None:
    description = variables(Settings)["DIGITS_SHUTDOWN_TIMEOUT_S"].description
    assert f" {max_shutdown_s(0):g} s longer" in str(description)


def test_a_wrong_address_for_reports_is_named_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_SENTRY_DSN", "https://a-key@sentry.example/no-number")
    assert complaint().startswith("DIGITS_SENTRY_DSN=********: a DSN has the form https://KEY@HOST/PROJECT")
    assert "a-key" not in complaint()


@pytest.mark.parametrize(
    "location", ["https://me:a-key@host/m", "https://host/m.zip?sig=a-key", "s3://b/m#a-key", "https:/me:a-key@host/m"]
)
def test_the_address_of_a_model_with_a_secret_is_refused_without_it(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setenv("DIGITS_MODEL", location)
    assert complaint().startswith("DIGITS_MODEL='")
    assert "a-key" not in complaint()


def test_an_empty_address_for_reports_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_SENTRY_DSN", "")
    assert loaded().sentry_dsn is None


def test_what_a_worker_takes_at_once_fits_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_PACING__CHUNK_BYTES", "150000000")
    assert "pacing.chunk_bytes must not be above 1/4 of worker_memory_bytes: 73,400,320" in complaint()


def test_a_record_that_a_worker_could_not_even_take_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_LIMITS__RECORD_BYTES", "150000000")
    assert "limits.record_bytes must not be above 1/4 of worker_memory_bytes: 73,400,320" in complaint()


def test_settings_of_the_http_server_may_be_in_the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_WEB__LISTEN__PORT", "8000")
    assert loaded().workers >= 1


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("DIGITS_WORKER", "DIGITS_WORKERS"),
        ("DIGITS_LIMITS__PIXEL", "DIGITS_LIMITS__PIXELS"),
        ("DIGITS_ITEM_TIMEOUT_MS", "DIGITS_ITEM_TIMEOUT_S"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, wrong: str, right: str
) -> None:
    monkeypatch.setenv(wrong, "1")
    assert complaint() == f"{wrong}: there is no such setting; did you mean {right}?"


@pytest.mark.parametrize("command", ["run", "settings"])
def test_the_command_ends_with_code_2_and_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("DIGITS_WORKERS", "0")
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert result.stderr.startswith("DIGITS_WORKERS='0': ")
    assert result.stdout == ""


def test_a_wrong_model_is_named_at_once_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_MODEL", "/nowhere")
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "DIGITS_MODEL='/nowhere': /nowhere/manifest.json cannot be read: No such file or directory\n"
    )


def test_a_model_that_only_a_worker_finds_wrong_ends_with_code_2_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise InvalidSettingError("DIGITS_MODEL", "/a", "the reference digits come out differently")

    monkeypatch.setattr(service, "run", refused)
    assert CliRunner().invoke(main, ["run"]).exit_code == 2


def test_the_settings_in_effect_are_printed_as_a_file_that_can_be_sourced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_MODEL", "/a model")
    monkeypatch.setenv("DIGITS_WORKERS", "3")
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "DIGITS_WORKERS=3" in lines
    assert "DIGITS_MODEL='/a model'" in lines
    assert [line.partition("=")[0] for line in lines if not line.startswith("#")] == list(variables(Settings))


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in variables(Settings).items() if not field.description] == []


def test_the_reference_is_current() -> None:
    made = CliRunner().invoke(main, ["settings", "--markdown"]).stdout
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == made, (
        "make it again: .venv/bin/digit-consumer settings --markdown > docs/settings.md"
    )


def test_the_readme_names_only_settings_that_exist() -> None:
    named = re.findall(r"DIGITS_[A-Z_]*[A-Z]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(variables(Settings))


def test_a_broker_that_hangs_is_noticed_within_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__REQUEST_TIMEOUT_MS", "10000")
    assert complaint() == "DIGITS_KAFKA__…: request_timeout_ms must be below session_timeout_ms"


def test_every_renamed_setting_leads_to_one_that_exists() -> None:
    known = variables(Settings)
    assert RENAMED
    assert set(RENAMED.values()) <= set(known)
    assert set(RENAMED).isdisjoint(known)


def test_a_command_reports_a_setting_that_has_its_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_SHUTDOWN_TIMEOUT_S", "")  # restored after the test
    monkeypatch.delenv("DIGITS_SHUTDOWN_TIMEOUT_S")
    ended = CliRunner().invoke(main, ["settings"], env={"DIGITS_DRAIN_S": "7"})
    assert "DIGITS_SHUTDOWN_TIMEOUT_S=7" in ended.stdout
    assert ended.stderr == (
        "DIGITS_DRAIN_S is now called DIGITS_SHUTDOWN_TIMEOUT_S; the old name is accepted for one more release\n"
    )


def test_a_command_reports_a_setting_that_has_no_effect_any_more() -> None:
    ended = CliRunner().invoke(main, ["settings"], env={"DIGITS_PACING__TRANSACTIONS_PER_S": "16"})
    assert ended.exit_code == 0
    assert ended.stderr == (
        "DIGITS_PACING__TRANSACTIONS_PER_S has no effect any more; it is accepted for one more release\n"
    )
