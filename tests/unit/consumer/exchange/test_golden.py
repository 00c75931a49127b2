"""The golden set: an archive of pictures in folders that are named by their digits."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from consumer.exchange.gate import read_with
from consumer.exchange.golden import GOLDEN, GoldenSet, GoldenSetError
from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import Answers, Task
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits
from tests.harness.tasks import rules


def archive(folder: Path, *names: str) -> Path:
    path = folder / "golden.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, picture in zip(names, drawn_digits(len(names)), strict=True):
            opened.writestr(name, picture)
    return path


def test_the_shipped_set_has_fifty_pictures_of_each_digit() -> None:
    with zipfile.ZipFile(GOLDEN) as shipped:
        assert Counter(name[0] for name in shipped.namelist()) == dict.fromkeys("0123456789", 50)


class Worker:
    """Answers in this process."""

    def __init__(self) -> None:
        note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
        model = {"name": "digits", "version": "1", "sha256": "0" * 64}
        self._processor = BatchProcessor(Reader(Classifier.load(default_model()), Limits()), model, note, rules())

    async def answer(self, tasks: list[Task], _: object) -> Answers:
        return self._processor.answer(tasks)


@pytest.mark.parametrize("slice_s", [0, 60], ids=["many slices", "one slice"])
async def test_digits_that_are_not_recognised_as_their_label_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_s: float
) -> None:
    monkeypatch.setattr("consumer.workers.tasks.SLICE_S", slice_s)
    golden = GoldenSet.read(archive(tmp_path, "set/0/a.png", "set/1/b.png", "set/2/c.png", "set/4/d.png"))
    parts = await read_with(cast("WorkerProcess", Worker()), golden.task)
    assert golden.digits == 4
    assert golden.misread(parts) == 1, "the fourth is a 3"
    assert golden.misread([]) == 4


@pytest.mark.parametrize("name", ["a.png", "seven/a.png", "12/a.png", "7/folder/a.png"])
def test_a_picture_without_a_label_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(GoldenSetError, match=f"must have pictures LABEL/NAME, with a digit as LABEL: .*{name}"):
        GoldenSet.read(archive(tmp_path, "0/a.png", name))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "golden.zip").write_bytes(b"no archive")
    with pytest.raises(GoldenSetError, match="cannot be read as a zip archive"):
        GoldenSet.read(tmp_path / "golden.zip")
    with pytest.raises(GoldenSetError, match="cannot be read as a zip archive"):
        GoldenSet.read(tmp_path / "none.zip")
    with pytest.raises(GoldenSetError, match="must have pictures"):
        GoldenSet.read(archive(tmp_path))
