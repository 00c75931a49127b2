"""Messages and JSON stay clean, whatever names contain."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from producer import display


def test_a_message_is_one_clean_line_that_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_message("first\x1b[2J\ndigit-producer: forged")
    assert capsys.readouterr().err == "digit-producer: first\\x1b[2J\\ndigit-producer: forged\n"


@given(name=st.text(st.characters()))
def test_a_line_of_json_is_ascii_and_keeps_the_data(name: str) -> None:
    line = display.json_line({"name": name})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"name": name}


def test_a_line_shows_what_is_not_ours_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_line("7 \x1b]0;owned\x07[red]x[/red]\n", Text("failed", style="red"), "  a\x9b2J\u202eb")
    assert capsys.readouterr().out == "7 \\x1b]0;owned\\x07[red]x[/red]\\nfailed  a\\x9b2J\\u202eb\n"
