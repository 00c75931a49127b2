"""Who is right where two models disagree."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine import disputes
from engine.cli import main
from engine.disputes import DisputeError, compare, mcnemar, read_disputes, read_labels
from producer.disagreements.folder import LINES, DisagreementFolder
from tests.harness.disagreements import disagreement, model_answer, record
from tests.harness.images import drawn_digits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of which version 1 reads a 7; version 2 reads a 1 in five, and is unsure of the last."""
    unsure = disagreement(5, challenger=model_answer("2", 7, "unsure"))
    some = [*(disagreement(number) for number in range(5)), unsure]
    DisagreementFolder(tmp_path).add([record(each, drawn_digits(1)[0]) for each in some])
    return tmp_path


def labelled(folder: Path, *labels: str) -> Path:
    path = folder / "labels.csv"
    rows = [f"requests_3_{number}_0.png,{label}" for number, label in enumerate(labels) if label]
    path.write_text("\n".join(["file,label", *rows]) + "\n")
    return path


def test_the_export_is_where_the_comparison_looks() -> None:
    assert disputes.LINES == LINES


def test_each_picture_counts_for_the_model_that_is_right(folder: Path) -> None:
    (compared,) = compare(read_disputes(folder), read_labels(labelled(folder, "7", "1", "1", "4", "", "none")))
    assert (compared.champion_right, compared.challenger_right, compared.neither_right) == (1, 3, 1)
    assert (compared.disputed, compared.labelled) == (6, 5)
    assert compared.p_value == mcnemar(1, 3) == 0.625


@pytest.mark.parametrize(
    ("first", "second", "p_value"), [(0, 0, 1), (5, 5, 1), (0, 5, 0.0625), (10, 2, 0.03857421875), (0, 1, 1)]
)
def test_the_p_value_is_that_of_a_fair_coin_in_both_directions(first: int, second: int, p_value: float) -> None:
    assert mcnemar(first, second) == mcnemar(second, first) == p_value


def test_the_p_value_of_many_pictures_is_a_number() -> None:
    assert 0 < mcnemar(900, 1_100) < 1e-4
    assert math.isclose(mcnemar(1_000, 1_000), 1)


def test_each_pair_of_models_is_compared_by_itself(folder: Path) -> None:
    third = disagreement(9, challenger=model_answer("3", 2))
    DisagreementFolder(folder).add([record(third, drawn_digits(1)[0])])
    compared = compare(read_disputes(folder), {"requests_3_9_0.png": "2"})
    assert [(each.challenger[:8], each.disputed, each.challenger_right) for each in compared] == [
        ("digits 2", 6, 0),
        ("digits 3", 1, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("a.png,10", "line 2 must be a file and its label"),
        ("a.png", "line 2 must be"),
        ("a.png,1\na.png,2", "a.png has two labels"),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path: Path, rows: str, named: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}\n")
    with pytest.raises(DisputeError, match=named):
        read_labels(tmp_path / "labels.csv")


def test_a_label_of_another_picture_is_an_error(folder: Path) -> None:
    with pytest.raises(DisputeError, match=r"labels of 1 pictures that are not disputed, such as b\.png"):
        compare(read_disputes(folder), {"b.png": "1"})


def test_the_command_prints_counts_the_p_value_and_who_is_better(folder: Path) -> None:
    arguments = ["compare", str(folder), "--labels", str(labelled(folder, *["1"] * 5, "none"))]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0
    assert "The challenger is right more often." in shown.stdout
    assert "0.0312" in shown.stdout
    (figures,) = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert (figures["challenger_right"], figures["p_value"]) == (6, 0.03125)


def test_a_small_difference_is_called_chance(folder: Path) -> None:
    shown = CliRunner().invoke(main, ["compare", str(folder), "--labels", str(labelled(folder, "1"))])
    assert "may be chance" in shown.stdout


def test_a_folder_without_disagreements_ends_with_a_sentence(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["compare", str(tmp_path), "--labels", str(labelled(tmp_path))])
    assert ended.exit_code == 2
    assert f"{LINES} cannot be read" in " ".join(ended.stderr.split())
    (tmp_path / LINES).write_text("{}\n")
    ended = CliRunner().invoke(main, ["compare", str(tmp_path), "--labels", str(labelled(tmp_path))])
    assert "line 1 is no disagreement" in " ".join(ended.stderr.split())
