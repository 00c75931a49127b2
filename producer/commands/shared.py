"""What all commands share: their settings, their end, and options that several have."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import typer

from producer import display
from producer.errors import Exit, ProducerError
from transport.errors import KafkaRequestError
from transport.settings import kafka as settings
from transport.settings.kafka import ClientSettings, SettingsError

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON each, for machines.")]


def load_settings() -> ClientSettings:
    """Read the settings, or leave with what is wrong with them."""
    try:
        return settings.load(ClientSettings, owns_prefix=False)
    except SettingsError as error:
        refuse(error)


def refuse(error: SettingsError) -> NoReturn:
    """Report what is wrong with the settings, line by line, and leave."""
    for line in str(error).splitlines():
        display.complain(line)
    raise typer.Exit(Exit.USAGE) from error


def run(command: Coroutine[Any, Any, Exit], *, interrupted: Exit = Exit.INTERRUPTED) -> NoReturn:
    """Run a command to its end and leave with its exit code; its errors become one line each."""
    try:
        code = asyncio.run(command)
    except ProducerError as error:
        display.complain(str(error))
        code = error.exit_code
    except KafkaRequestError as error:
        display.complain(str(error))
        code = Exit.KAFKA
    except KeyboardInterrupt:
        code = interrupted
    raise typer.Exit(code)
