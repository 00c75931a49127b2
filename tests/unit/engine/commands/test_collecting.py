"""`digit-engine collect`: pictures in folders of their answers, as training reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli import main
from engine.training.data.labelled import list_folder
from tests.harness.images import drawn_digits, zipped

ONE, TWO, THREE = drawn_digits(3)
MODEL = {"name": "digits", "version": "1", "sha256": "0" * 64}


def answer(digit: int, status: str = "unsure", reason: str | None = "low-confidence") -> dict[str, Any]:
    return {"status": status, "digit": digit, "confidence": 0.5, "reason": reason, "model": MODEL}


RECOGNISED = answer(8, "recognised", None)
NO_DIGIT = answer(4, reason="not-a-digit")


def line(file: str, offset: int, index: int = 0, **answers: dict[str, Any]) -> dict[str, Any]:
    origin = {"topic": "digits.requests", "partition": 3, "offset": offset, "item_index": index}
    ids = {"result_id": f"digits.requests/3/{offset}/{index}", "request_id": "../order"}
    return {"file": file, **ids, **origin, "item_name": "../../seven.png", "at_ms": 1_000, **answers}


def saved(folder: Path, name: str, lines: list[dict[str, Any]], **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for stem, content in files.items():
        (folder / stem.replace("_", ".")).write_bytes(content)
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="ascii")
    return folder


def collect(folder: Path, to: Path) -> Result:
    return CliRunner().invoke(main, ["collect", str(folder), "--to", str(to)])


def files(to: Path) -> list[str]:
    return sorted(str(path.relative_to(to)) for path in to.rglob("*") if path.is_file())


@pytest.fixture
def unsure(tmp_path: Path) -> Path:
    archive = zipped([("a.png", ONE), ("b.png", TWO), ("c.png", THREE)])
    lines = [
        line("single.png", 7, answer=answer(3)),
        line("packed.zip", 8, 1, answer=answer(5)),
        line("packed.zip", 8, 2, answer=NO_DIGIT),
    ]
    return saved(tmp_path / "unsure", "unsure.jsonl", lines, single_png=ONE, packed_zip=archive)


def test_pictures_are_sorted_by_their_answer_and_training_reads_them(unsure: Path, tmp_path: Path) -> None:
    to = tmp_path / "labelled"
    done = collect(unsure, to)
    assert done.exit_code == 0, done.output
    assert files(to) == [
        "3/digits_requests_3_7_0.png",
        "5/digits_requests_3_8_1.png",
        "answers.jsonl",
        "unsure/digits_requests_3_8_2.png",
    ]
    assert (to / "3/digits_requests_3_7_0.png").read_bytes() == ONE
    assert (to / "5/digits_requests_3_8_1.png").read_bytes() == TWO
    assert (to / "unsure/digits_requests_3_8_2.png").read_bytes() == THREE
    assert [label for _, label in list_folder(to)] == [3, 5]
    described = [json.loads(each) for each in (to / "answers.jsonl").read_text().splitlines()]
    assert [each["file"] for each in described] == [name for name in files(to) if name.endswith(".png")]
    assert described[1]["offset"] == 8
    assert described[1]["item_index"] == 1
    assert described[1]["answers"] == [answer(5)]


def test_what_was_moved_to_its_label_is_not_written_again(unsure: Path, tmp_path: Path) -> None:
    to = tmp_path / "labelled"
    collect(unsure, to)
    (to / "9").mkdir()
    (to / "3/digits_requests_3_7_0.png").rename(to / "9/digits_requests_3_7_0.png")
    again = collect(unsure, to)
    assert "0 new pictures, 3 that were there before" in again.output
    assert (to / "9/digits_requests_3_7_0.png").exists()
    assert not (to / "3/digits_requests_3_7_0.png").exists()


@pytest.mark.parametrize(
    ("champion", "challenger", "label"),
    [
        (RECOGNISED, answer(3), "8"),
        (answer(3), RECOGNISED, "8"),
        (NO_DIGIT, answer(3), "3"),
        (NO_DIGIT, NO_DIGIT, "unsure"),
    ],
)
def test_a_disputed_picture_goes_to_the_digit_that_is_recognised(
    champion: dict[str, Any], challenger: dict[str, Any], label: str, tmp_path: Path
) -> None:
    disputed = line("one.png", 7, 5, champion=champion, challenger=challenger)  # the entry of an archive, by itself
    folder = saved(tmp_path / "disputed", "disagreements.jsonl", [disputed], one_png=ONE)
    to = tmp_path / "labelled"
    assert collect(folder, to).exit_code == 0
    assert files(to) == sorted([f"{label}/digits_requests_3_7_5.png", "answers.jsonl"])
    (described,) = [json.loads(each) for each in (to / "answers.jsonl").read_text().splitlines()]
    assert described["answers"] == [champion, challenger]


@pytest.mark.parametrize("file", ["../one.png", "/etc/passwd", ".hidden", "a/b.png"])
def test_a_list_that_names_files_elsewhere_is_refused(file: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "forged", "unsure.jsonl", [line(file, 7, answer=answer(3))])
    done = collect(folder, tmp_path / "labelled")
    assert done.exit_code == 2
    assert "line 1" in done.output
    assert not (tmp_path / "labelled").exists()


def test_what_holds_no_picture_is_counted(tmp_path: Path) -> None:
    lines = [line("none.bin", 7, answer=answer(3)), line("packed.zip", 8, 9, answer=answer(3))]
    folder = saved(tmp_path / "u", "unsure.jsonl", lines, none_bin=b"no picture", packed_zip=zipped([("a.png", ONE)]))
    done = collect(folder, tmp_path / "labelled")
    assert "0 new pictures, 0 that were there before, 2 that cannot be read" in done.output


def test_a_folder_without_a_list_is_refused(tmp_path: Path) -> None:
    done = collect(tmp_path, tmp_path / "labelled")
    assert done.exit_code == 2
    assert "unsure.jsonl" in done.output
