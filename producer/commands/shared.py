"""What all commands share: loading the settings, the exit code, and options that several of them have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

import typer

from producer.display import print_message
from producer.errors import CommandError, Exit
from transport.errors import KafkaRequestError
from transport.settings import kafka as settings
from transport.settings.kafka import ClientSettings, SettingsError

AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each record, for machines.")]


def load_settings() -> ClientSettings:
    """Load the settings; if they are wrong, print why and exit."""
    try:
        return settings.load(ClientSettings, owns_prefix=False)
    except SettingsError as error:
        exit_with_settings_error(error)


def exit_with_settings_error(error: SettingsError) -> NoReturn:
    """Print what is wrong with the settings, one line for each, and exit."""
    for line in str(error).splitlines():
        print_message(line)
    raise typer.Exit(Exit.USAGE) from error


def run(
    command: Coroutine[Any, Any, Exit],
    *,
    interrupted: Exit = Exit.INTERRUPTED,
    runner: Callable[[Coroutine[Any, Any, Exit]], Exit] = asyncio.run,
) -> NoReturn:
    """Run a command and exit with its code; an error becomes one line on standard error."""
    try:
        code = runner(command)
    except CommandError as error:
        print_message(str(error))
        code = error.exit_code
    except KafkaRequestError as error:
        print_message(str(error))
        code = Exit.KAFKA
    except KeyboardInterrupt:
        code = interrupted
    raise typer.Exit(code)
