"""`digit-engine collect`: sorts unsure and disputed pictures into folders, to be labelled and trained with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from engine.codecs.formats import EXTENSIONS, image_format
from engine.codecs.payload import open_payload
from engine.commands.console import exit_unusable
from engine.errors import EngineError
from engine.limits import Limits

LISTS: Final = ("unsure.jsonl", "disagreements.jsonl")
"""What `digit-producer unsure` and `digit-producer disagreements` write beside the files."""
ANSWERS: Final = "answers.jsonl"
NO_DIGIT: Final = "unsure"
"""The folder of pictures that no model takes for a digit; training does not read it."""


class CollectError(Exception):
    """The folder cannot be used; the message says why."""


class Answer(msgspec.Struct):
    """What one model has answered."""

    status: str
    digit: Annotated[int, msgspec.Meta(ge=0, le=9)]
    confidence: float
    reason: str | None
    model: dict[str, str]


class Line(msgspec.Struct):
    """One picture, as the lists have it: with one answer, or with those of champion and challenger."""

    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
    result_id: str
    request_id: str
    topic: str
    partition: int
    offset: int
    item_index: Annotated[int, msgspec.Meta(ge=0)]
    item_name: str | None
    at_ms: int
    answer: Answer | None = None
    champion: Answer | None = None
    challenger: Answer | None = None

    @property
    def answers(self) -> list[Answer]:
        """All answers, the service's own first."""
        return [each for each in (self.answer, self.champion, self.challenger) if each is not None]

    @property
    def label(self) -> str:
        """The folder for the picture: the first digit that a model takes it for."""
        found = sorted(self.answers, key=lambda answer: answer.status != "recognised")
        digits = [str(answer.digit) for answer in found if answer.reason != "not-a-digit"]
        return digits[0] if digits else NO_DIGIT


def collect(
    folder: Annotated[
        Path, typer.Argument(help="What `digit-producer unsure` or `digit-producer disagreements` has written.")
    ],
    *,
    to: Annotated[Path, typer.Option(help="Folder for the pictures; those that are there, or were moved, are kept.")],
) -> None:
    """Sort pictures into TO/DIGIT/ by the answer that they got; those without a digit into TO/unsure/.

    Move each one that is in the wrong folder, delete what shows no digit, then train with TO or give it to evaluate.
    TO/answers.jsonl says which request each picture comes from, and what each model has answered.
    """
    try:
        written, known, unread = _collect(folder, to)
    except (CollectError, OSError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{to}: {written:,} new pictures, {known:,} that were there before, {unread:,} that cannot be read")


def _collect(folder: Path, to: Path) -> tuple[int, int, int]:
    """Return how many pictures were written, how many were there, and how many have no bytes of a picture."""
    names = {path.stem for path in to.glob("*/*")}
    written, known, unread = 0, 0, 0
    for line in _lines(folder):
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", line.result_id)[-200:].lstrip(".").replace(".", "_")
        if stem in names:
            known += 1
            continue
        picture = _picture(folder / line.file, line.item_index)
        kind = None if picture is None else image_format(picture)
        if picture is None or kind is None:
            unread += 1
            continue
        names.add(stem)
        name = f"{line.label}/{stem}{EXTENSIONS[kind]}"
        (to / line.label).mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(picture)
        with (to / ANSWERS).open("a", encoding="ascii") as answers:
            answers.write(json.dumps({**_described(line), "file": name}) + "\n")
        written += 1
    return written, known, unread


def _lines(folder: Path) -> Iterator[Line]:
    lists = [folder / name for name in LISTS if (folder / name).exists()]
    if not lists:
        raise CollectError(f"{folder} has neither {' nor '.join(LISTS)}")
    for path in lists:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=Line)
            except msgspec.DecodeError as error:
                raise CollectError(f"{path}, line {number}: {error}") from error


def _picture(path: Path, index: int) -> bytes | None:
    """Return the bytes of a picture, or of an entry of an archive; None if there are none."""
    content = path.read_bytes()
    try:
        opened = open_payload(content, Limits())
        if opened.is_image:  # of a disagreement, that is the entry itself
            return content
        return next(opened.items(index)).data if index < opened.count else None
    except EngineError:
        return None


def _described(line: Line) -> dict[str, Any]:
    """Return what the list of answers says of a picture."""
    kept = {"result_id", "request_id", "topic", "partition", "offset", "item_index", "item_name", "at_ms"}
    fields: dict[str, Any] = msgspec.to_builtins(line)
    return {**{name: fields[name] for name in sorted(kept)}, "answers": msgspec.to_builtins(line.answers)}
