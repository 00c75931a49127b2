"""Output stays clean, whatever names contain."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from producer import display

NASTY = "\x1b[2J\x07[red]x[/red]\n\r\x9b31m\u202egnp.exe\u2028\udcff\x7f:smile: é数"


def test_a_table_shows_nasty_names_escaped_and_takes_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_table(["name", "status"], [(NASTY, Text("failed", style="red"))])
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.splitlines())
    assert r"\x1b[2J\x07[red]x[/red]\n\r\x9b31m\u202egnp.exe\u2028\udcff\x7f:smile: é数" in out


def test_a_complaint_is_one_clean_line_that_says_who_complains(capsys: pytest.CaptureFixture[str]) -> None:
    display.complain("first\x1b[2J\ndigit-producer: forged")
    assert capsys.readouterr().err == "digit-producer: first\\x1b[2J\\ndigit-producer: forged\n"


@given(name=st.text(st.characters()))
def test_a_line_of_json_is_ascii_and_says_what_went_in(name: str) -> None:
    line = display.json_line({"name": name})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"name": name}
