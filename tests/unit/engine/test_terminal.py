"""Tables stay clean, whatever names contain."""

from __future__ import annotations

import pytest
from rich.text import Text

from engine import terminal

NASTY = "\x1b[2J\x07[red]x[/red]\n\r\x9b31m\u202egnp.exe\u2028\udcff\x7f:smile: é数"


def test_a_table_shows_nasty_names_escaped_and_reads_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(["name", "status"], [(NASTY, Text("failed", style="red"))])
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.splitlines())
    assert r"\x1b[2J\x07[red]x[/red]\n\r\x9b31m\u202egnp.exe\u2028\udcff\x7f:smile: é数" in out
