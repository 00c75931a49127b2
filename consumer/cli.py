"""``digit-consumer``: runs the service.

Exit codes: 0 ended as asked (SIGTERM, SIGINT), 1 fatal, 2 a wrong setting, 130 forced by a second signal.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

import structlog
import typer
import uvloop

from consumer import service
from consumer.errors import Fatal
from consumer.log import configure
from consumer.settings import Settings
from contract.settings import SettingsError, load, variables

EXIT_FATAL: Final = 1
EXIT_SETTINGS: Final = 2

log = structlog.get_logger()
main = typer.Typer(
    help="Reads images from Kafka and publishes a prediction for each, exactly once.",
    epilog=__doc__.splitlines()[2] if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@main.callback()
def _commands() -> None:
    """Keep ``run`` a command of its own."""


@main.command()
def run(
    *,
    settings: Annotated[bool, typer.Option("--settings", help="Print every setting with its value, then end.")] = False,
) -> None:
    """Run the service until SIGTERM or SIGINT; it is set up by environment variables DIGITS_… alone."""
    try:
        loaded = load(Settings, owns_prefix=True)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_SETTINGS)
    if settings:
        _print(loaded)
        return
    configure(loaded.log)
    try:
        uvloop.run(service.run(loaded))
    except Fatal as fatal:
        log.error("fatal", why=str(fatal), then="the service ends; nothing half done is committed")  # noqa: TRY400  # the sentence is the message
        sys.exit(EXIT_FATAL)


def _print(loaded: Settings) -> None:
    for name in variables(Settings):
        value: object = loaded
        for part in name.removeprefix("DIGITS_").lower().split("__"):
            value = getattr(value, part)
        typer.echo(f"{name}={value}")
