"""The command line, without a broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml
from typer.main import get_group
from typer.testing import CliRunner

from contract.errors import ErrorCode
from contract.schema import EXAMPLES
from producer.cli import app
from producer.commands.filter_options import build_filter
from producer.errors import Exit
from transport.settings.kafka import ClientSettings, variables

runner = CliRunner()
CLOSED = "127.0.0.1:1"
"""No broker listens there."""


@pytest.fixture(autouse=True)
def _plain_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")


def test_help_names_every_exit_code_and_every_variable() -> None:
    shown = runner.invoke(app, ["--help"]).output
    assert all(re.search(rf"^ +{code.value}: {re.escape(code.meaning)}", shown, re.MULTILINE) for code in Exit)
    assert all(name in shown for name in variables(ClientSettings))


@pytest.mark.parametrize("command", sorted(get_group(app).commands))
def test_the_help_of_a_command_ends_in_examples_of_it(command: str) -> None:
    shown = runner.invoke(app, [command, "--help"]).output
    assert f"digit-producer {command}" in shown.partition("Examples:")[2]


def test_schema_prints_the_json_schema_of_a_result() -> None:
    schema = json.loads(runner.invoke(app, ["schema"]).stdout)
    jsonschema.Draft202012Validator(schema).validate(EXAMPLES["failed"])


def test_schema_prints_the_asyncapi_document_for_the_topics_that_are_set() -> None:
    shown = runner.invoke(app, ["schema", "--asyncapi"], env={"DIGITS_TOPICS__REQUESTS": "in"}).stdout
    assert yaml.safe_load(shown)["channels"]["requests"]["address"] == "in"


def test_a_wrong_setting_is_one_line_and_exit_code_2() -> None:
    ended = runner.invoke(app, ["watch"], env={"DIGITS_KAFKA__GROUP_ID": ""})
    assert ended.exit_code == Exit.USAGE
    assert ended.stderr.startswith("digit-producer: DIGITS_KAFKA__GROUP_ID='': ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_path_that_is_not_there_is_one_line_and_exit_code_2() -> None:
    ended = runner.invoke(app, ["send", "/nowhere/at\x1ball.png"])
    assert ended.exit_code == Exit.USAGE
    assert ended.stderr == "digit-producer: cannot read '/nowhere/at\\x1ball.png': No such file or directory\n"


@pytest.mark.parametrize("header", ["novalue", "=x", "request-id=x", "filename=x", "content-type=x"])
def test_an_invalid_header_is_refused(header: str) -> None:
    ended = runner.invoke(app, ["send", __file__, "--header", header])
    assert ended.exit_code == Exit.USAGE
    assert "--header" in ended.stderr


@pytest.mark.parametrize("request_id", ["", "x" * 1025, "é" * 513, os.fsdecode(b"\xff")])
def test_an_invalid_id_is_refused(request_id: str) -> None:
    ended = runner.invoke(app, ["send", __file__, "--request-id", request_id])
    assert ended.exit_code == Exit.USAGE
    assert "--request-id" in ended.stderr


@pytest.mark.parametrize("more", [[__file__], ["--repeat", "2"]])
def test_an_id_is_for_one_record_alone(more: list[str]) -> None:
    ended = runner.invoke(app, ["send", __file__, *more, "--request-id", "order-7"])
    assert ended.exit_code == Exit.USAGE
    assert ended.stderr == "digit-producer: --request-id is for one record, but 2 would be sent: leave it out\n"


@pytest.mark.parametrize("command", ["replay", "dead-letters"])
def test_a_code_that_does_not_exist_is_refused_with_those_that_do(command: str) -> None:
    ended = runner.invoke(app, [command, "--code", "nonsense"])
    assert ended.exit_code == Exit.USAGE
    assert all(code in "".join(ended.stderr.split()) for code in ErrorCode)


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_an_invalid_time_is_refused(option: str) -> None:
    ended = runner.invoke(app, ["replay", option, "yesterday"])
    assert ended.exit_code == Exit.USAGE
    assert option in ended.stderr


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01.5", 1_500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00Z", 0),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, epoch_ms: int) -> None:
    wanted = build_filter(code=None, since=text, until=None, topic=None, partition=None, offset=None)
    assert wanted.since_ms == epoch_ms


@pytest.mark.parametrize(
    "arguments", [["send", __file__], ["watch"], ["dead-letters"], ["replay"], ["audit"], ["status"]]
)
def test_a_broker_that_is_not_there_is_one_line_and_exit_code_3(arguments: list[str]) -> None:
    # As a process: what libraries print or log at the end counts too.
    ended = subprocess.run(
        [sys.executable, "-m", "producer", *arguments],
        env={"DIGITS_KAFKA__BOOTSTRAP_SERVERS": CLOSED, "DIGITS_KAFKA__WAIT_S": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == Exit.KAFKA
    assert ended.stderr == (
        f"digit-producer: cannot reach Kafka at {CLOSED} (DIGITS_KAFKA__BOOTSTRAP_SERVERS): no broker answers there\n"
    )
    assert ended.stdout == ""


def test_the_old_name_of_an_option_is_accepted_with_a_warning_and_hidden() -> None:
    ended = runner.invoke(app, ["status", "--watch"], env={"DIGITS_KAFKA__GROUP_ID": ""})
    assert ended.stderr.splitlines()[0] == "digit-producer: --watch is deprecated: use --refresh, which does the same"
    assert "--watch" not in runner.invoke(app, ["status", "--help"]).output
