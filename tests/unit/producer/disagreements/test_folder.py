"""Disagreements become files and lines, each once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from producer.cli import app
from producer.disagreements.folder import LINES, DisagreementFolder
from producer.errors import Exit, UsageError
from tests.harness.disagreements import disagreement, model_answer, record
from tests.harness.images import drawn_digits
from transport.record_batch import Unreadable

DIGITS = drawn_digits(2)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


def test_each_picture_is_a_file_and_a_line_has_both_answers(tmp_path: Path) -> None:
    one = disagreement(7, name="../a.png")
    assert DisagreementFolder(tmp_path / "new").add([record(one, DIGITS[0])]) == (1, 0)
    (line,) = lines(tmp_path / "new")
    assert line == {"file": "requests_3_7_0.png", "at_ms": 1_000, **one.model_dump(mode="json")}
    assert (tmp_path / "new" / "requests_3_7_0.png").read_bytes() == DIGITS[0]


def test_what_the_folder_has_is_not_written_again(tmp_path: Path) -> None:
    first = [record(disagreement(number), DIGITS[number]) for number in range(2)]
    assert DisagreementFolder(tmp_path).add([*first, first[0]]) == (2, 0)
    of_another = disagreement(0, challenger=model_answer("3", 1))
    assert DisagreementFolder(tmp_path).add([*first, record(of_another, DIGITS[0])]) == (1, 0)
    assert [line["offset"] for line in lines(tmp_path)] == [0, 1, 0]


def test_records_that_are_no_disagreements_are_counted(tmp_path: Path) -> None:
    strange = SimpleNamespace(value=b"x", headers=[], timestamp=0)
    empty = record(disagreement(), b"")
    unreadable = Unreadable.__new__(Unreadable)
    assert DisagreementFolder(tmp_path).add([strange, empty, unreadable]) == (0, 3)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / LINES).write_text("no json\n")
    with pytest.raises(UsageError, match="has something else than disagreements"):
        DisagreementFolder(tmp_path)
    with pytest.raises(UsageError, match="cannot use"):
        DisagreementFolder(tmp_path / LINES)


def test_the_command_names_the_setting_that_is_missing(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["disagreements", "--to", str(tmp_path)])
    assert ended.exit_code == Exit.USAGE
    assert "DIGITS_TOPICS__DISAGREEMENTS" in ended.stderr
