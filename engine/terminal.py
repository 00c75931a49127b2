"""Tables on a terminal, for the commands of all programs: always clean, and never markup.

Names and messages come from file systems and topics and may contain anything: escape sequences that repaint a
terminal, line breaks, marks that reverse the direction of writing. `release.printable` escapes all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from release.printable import printable

WIDE: Final = 200
"""Columns of text for a table that goes to a file or a pipe: wide enough not to break ordinary names."""


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


def stdout() -> Console:
    """Return standard output as a console without markup; `WIDE` where it is not a terminal."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    return console
