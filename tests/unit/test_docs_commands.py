"""The commands that the pages show exist, and have the options that are shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from broker.cli import app as broker
from consumer.cli import main as consumer
from engine.cli import main as engine
from producer.cli import app as producer

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = {
    name: get_command(app)
    for name, app in (
        ("digit-broker", broker),
        ("digit-consumer", consumer),
        ("digit-engine", engine),
        ("digit-producer", producer),
    )
}
SHOWN: Final = re.compile(r"(?m)(?:^|[ $`])(digit-(?:broker|consumer|engine|producer) [^`\n]*)(?:`|$)")
"""A command in a line of its own, or in backquotes."""
FENCE: Final = re.compile(r"(?ms)^ *```(?:console|sh|bash)\n(.*?)^ *```")
QUOTED: Final = re.compile(r"`(digit-(?:broker|consumer|engine|producer) [^`\n]+)`")
END_OF_COMMAND: Final = {"|", "||", "&&", ">", ">>", "<", "&", ";"}


def shown() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        of_blocks = [match[1] for line in lines if (match := SHOWN.search(line))]
        yield from ((page.name, command) for command in (*of_blocks, *QUOTED.findall(text)))


@pytest.mark.parametrize(("page", "command"), sorted(set(shown())))
def test_a_command_that_a_page_shows_exists_with_its_options(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    end = next((at for at, word in enumerate(words) if word in END_OF_COMMAND), len(words))
    name, *arguments = words[:end]
    program: Any = PROGRAMS[name]
    while hasattr(program, "commands") and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in program.commands, f"{page} shows a command that {name} does not have"
        name, program = f"{name} {arguments[0]}", program.commands[arguments.pop(0)]
    options = {option for parameter in program.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)} - options
    assert not unknown - {"--help"}, f"{page} shows options that {name} does not have"
