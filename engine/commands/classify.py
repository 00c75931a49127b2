"""`digit-engine classify`: reads files without Kafka."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.commands.console import (
    EXIT_UNREAD,
    JsonOption,
    ModelOption,
    compilation_shown,
    exit_unusable,
    libraries_silenced,
    load_classifier,
)
from engine.commands.files import STANDARD_INPUT, list_files, read_groups
from engine.errors import in_utf8
from engine.limits import Limits
from engine.model.files import ModelError
from engine.reader import Outcome, Reader
from engine.terminal import print_table


def classify(
    paths: Annotated[
        list[Path], typer.Argument(help="Images, zip archives of images, folders of either; - is standard input.")
    ],
    *,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Read the digits in images and print a table, or with --json one line for each image.

    The exit code is 0 if every image was recognised, 1 if one failed or is unsure, and 2 if a path or the model cannot
    be used. In the names of --json, a byte that is not UTF-8 is written as \xff. In the table, unprintable characters
    are escaped too.
    """
    if paths.count(STANDARD_INPUT) > 1:
        raise typer.BadParameter("standard input (-) can be read once only")
    limits = Limits()
    rows = []
    all_recognised = True
    try:
        files = list_files(paths)
        with compilation_shown():
            reader = Reader(load_classifier(model), limits)
            reader.warm_up()
        for group in read_groups(files, limits):
            with libraries_silenced():
                outcomes = reader.read([payload for _, payload in group])
            for (path, _), of_payload in zip(group, outcomes, strict=True):
                for outcome in of_payload:
                    result = _result(path, outcome)
                    all_recognised &= result["status"] == "recognised"
                    if as_json:
                        typer.echo(json.dumps(result))  # in ASCII: a terminal may show it
                    else:
                        rows.append(_row(result))
    except (OSError, ModelError) as error:
        raise exit_unusable(error) from error
    if not as_json:
        print_table(("image", "status", "digit", "confidence", "why"), rows)
    if not (files and all_recognised):
        raise typer.Exit(EXIT_UNREAD)


def _result(path: Path, outcome: Outcome) -> dict[str, Any]:
    """Describe one image like a result of the service."""
    reading, error = outcome.reading, outcome.error
    return {
        "name": in_utf8(str(path)) if outcome.name is None else f"{in_utf8(str(path))}/{outcome.name}",
        "status": reading.status if reading else "failed",
        "digit": reading.digit if reading else None,
        "confidence": reading.confidence if reading else None,
        "reason": reading.reason if reading else None,
        "error": {"code": error.code, "message": str(error)} if error else None,
    }


def _row(result: dict[str, Any]) -> list[str]:
    """Build one row of the table."""
    why = result["error"]["message"] if result["error"] else result["reason"] or ""
    confidence = "" if result["confidence"] is None else f"{result['confidence']:.4f}"
    digit = "" if result["digit"] is None else str(result["digit"])
    return [result["name"], result["status"], digit, confidence, why]
