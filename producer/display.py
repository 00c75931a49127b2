"""What people and machines get to see: tables, lines, JSON, always clean.

Names and messages come from file systems and topics and may contain anything: escape sequences that
repaint a terminal, line breaks, marks that turn the direction of writing. Everything that is not
printable is shown escaped, and nothing is read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from contract.records import Result, Status
from engine.errors import printable

STYLES: Final[Mapping[str, str]] = {Status.RECOGNISED: "green", Status.UNSURE: "yellow", Status.FAILED: "red"}
WIDE: Final = 200
"""Columns for a table that goes to a file or a pipe: wide enough not to break ordinary names."""


def complain(message: str) -> None:
    """Print a message as one line on standard error: a name with a line break in it cannot forge a second one."""
    typer.echo(f"digit-producer: {printable(message)}", err=True)


def json_line(record: Mapping[str, Any]) -> str:
    """Return the record as one line of JSON, in ASCII: clean in any terminal."""
    return json.dumps(record, ensure_ascii=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one line of JSON on standard output."""
    typer.echo(json_line(record))


def print_line(text: Text) -> None:
    """Print one line on standard output, never folded."""
    stdout().print(text, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Lay out a table; in cells that are not `Text`, what is not printable is escaped."""
    laid_out = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        laid_out.add_column(column, overflow="fold")
    for row in rows:
        laid_out.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return laid_out


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table on standard output."""
    stdout().print(table(columns, rows))


def status(result: Result) -> Text:
    """Return the result's status in its colour."""
    return Text(result.status, style=STYLES[result.status])


def verdict(result: Result) -> tuple[str, str]:
    """Return digit and confidence as text; a failed result has neither."""
    if result.digit is None or result.confidence is None:
        return "", ""
    return str(result.digit), f"{result.confidence:.4f}"


def why(result: Result) -> str:
    """Say why the result is not simply recognised: its reason, or its error with the message."""
    if result.error is not None:
        return f"{result.error.code}: {result.error.message}"
    return result.reason or ""


def progress() -> Progress:
    """Return a progress bar on standard error, or one that shows nothing if no terminal is there."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def stdout() -> Console:
    """Return standard output as a console that takes nothing for markup; wide where it is no terminal."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    return console
