"""The option ``--version`` of all four programs."""

from __future__ import annotations

from typing import Any

import typer

from release import version_line


def version_option(program: str) -> Any:
    """Return the option: it prints one line and ends the program before other options are checked."""

    def show(wanted: bool) -> None:  # noqa: FBT001  # typer calls it with the value alone
        if wanted:
            typer.echo(version_line(program))
            raise typer.Exit

    return typer.Option("--version", callback=show, is_eager=True, help="Print name and version, and exit.")
