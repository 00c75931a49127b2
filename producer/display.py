"""What the commands print: messages, lines and JSON, always clean; tables are in `engine.terminal`.

Names and messages come from file systems and topics and may contain anything, also escape sequences that repaint a
terminal. Everything that is not printable is shown escaped, and nothing is read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from contract.records import Result, Status
from engine.terminal import stdout
from release.printable import printable

STYLES: Final[Mapping[str, str]] = {Status.RECOGNISED: "green", Status.UNSURE: "yellow", Status.FAILED: "red"}


def print_message(message: str) -> None:
    """Print a message as one line on standard error: a line break in a name cannot forge a second message."""
    typer.echo(f"digit-producer: {printable(message)}", err=True)


def json_line(record: Mapping[str, Any]) -> str:
    """Return the record as one line of JSON, in ASCII, which any terminal shows as it is."""
    return json.dumps(record, ensure_ascii=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one line of JSON on standard output."""
    typer.echo(json_line(record))


def print_line(*parts: str | Text) -> None:
    """Print one line on standard output, without wrapping it; what is not printable is escaped, except in `Text`."""
    line = Text.assemble(*(part if isinstance(part, Text) else printable(part) for part in parts))
    stdout().print(line, soft_wrap=True)


def status(result: Result) -> Text:
    """Return the result's status in its colour."""
    return Text(result.status, style=STYLES[result.status])


def digit_and_confidence(result: Result) -> tuple[str, str]:
    """Return digit and confidence as text; both are empty for a failed result."""
    if result.digit is None or result.confidence is None:
        return "", ""
    return str(result.digit), f"{result.confidence:.4f}"


def explanation(result: Result) -> str:
    """Say why the result is unsure or failed: its reason, or its error with the message; empty if recognised."""
    if result.error is not None:
        return f"{result.error.code}: {result.error.message}"
    return result.reason or ""


def progress() -> Progress:
    """Return a progress bar on standard error; it shows nothing if that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
