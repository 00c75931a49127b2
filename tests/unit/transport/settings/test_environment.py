"""Settings from a file and from options: an option wins over the environment, and that over the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.cli import main as consumer
from producer.cli import app as producer
from producer.errors import Exit
from transport.settings.environment import extended_environment, read_env_file
from transport.settings.kafka import ClientSettings, SettingsError, load

SERVERS = "DIGITS_KAFKA__BOOTSTRAP_SERVERS"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "digits.env"
    path.write_text(f"# ours\n\nexport {SERVERS}=file:1\nDIGITS_TOPICS__REQUESTS='in'\nDIGITS_KAFKA__GROUP_ID=a$b\n")
    return path


def test_a_file_is_read_as_variables_and_its_values_stay_as_they_are(env_file: Path) -> None:
    with extended_environment(env_file, {}):
        settings = load(ClientSettings, owns_prefix=False)
    assert settings.kafka.bootstrap_servers == "file:1"
    assert (settings.topics.requests, settings.kafka.group_id) == ("in", "a$b")


@pytest.mark.parametrize("name", [SERVERS, SERVERS.lower()])
def test_an_option_wins_over_the_environment_and_that_over_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "environment:1")
    with extended_environment(env_file, {}):
        assert load(ClientSettings, owns_prefix=False).kafka.bootstrap_servers == "environment:1"
    with extended_environment(env_file, {SERVERS: "option:1"}):
        assert load(ClientSettings, owns_prefix=False).kafka.bootstrap_servers == "option:1"
    assert os.environ[name] == "environment:1"
    assert "DIGITS_TOPICS__REQUESTS" not in os.environ


def test_every_wrong_line_of_a_file_is_named_and_no_value_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "wrong.env"
    path.write_text("DIGITS_WORKERS=2\nopen sesame\nPATH=/secret\nDIGITS_MODEL\n")
    with pytest.raises(SettingsError) as caught:
        read_env_file(path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].split(" of ")[0] for line in lines] == ["line 2", "line 3", "line 4"]
    assert "'PATH' does not begin with DIGITS_" in lines[1]
    assert "sesame" not in str(caught.value)
    assert "/secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"DIGITS_MODEL=\xff\n"], ids=["missing", "not UTF-8"])
@pytest.mark.parametrize(
    ("program", "command"),
    [
        *(pytest.param(producer, each, id=each) for each in ("create-topics", "watch", "status")),
        *(pytest.param(producer, each, id=each) for each in ("dead-letters", "replay", "audit")),
        *(pytest.param(consumer, each, id=each) for each in ("run", "check", "settings")),
    ],
)
def test_every_command_that_talks_to_kafka_refuses_a_file_that_cannot_be_used(
    program: object, command: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "digits.env"
    if content is not None:
        path.write_bytes(content)
    ended = CliRunner().invoke(program, [command, "--env-file", str(path)])  # type: ignore[arg-type]  # a Typer
    assert ended.exit_code == Exit.USAGE
    assert "--env-file" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_settings_are_printed_as_file_and_options_make_them(env_file: Path) -> None:
    options = ["--env-file", str(env_file), "--bootstrap-servers", "option:1", "--wait-for-broker", "3"]
    printed = CliRunner().invoke(consumer, ["settings", *options]).stdout.splitlines()
    assert f"{SERVERS}=option:1" in printed
    assert "DIGITS_KAFKA__WAIT_S=3.0" in printed
    assert "DIGITS_TOPICS__REQUESTS=in" in printed


def test_a_wrong_option_is_refused_with_the_name_of_its_variable() -> None:
    ended = CliRunner().invoke(producer, ["watch", "--bootstrap-servers", "nowhere"])
    assert ended.exit_code == Exit.USAGE
    assert f"{SERVERS}='nowhere'" in ended.stderr
