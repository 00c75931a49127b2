"""``digit-consumer``: runs the service.

Exit codes: 0 ended as asked (SIGTERM, SIGINT), 1 fatal, 2 a wrong setting, 130 forced by a second signal.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Final

import structlog
import typer
import uvloop

from consumer import service
from consumer.errors import Fatal, WrongSetting
from consumer.log import configure
from consumer.pinned import PinnedModel
from consumer.reference import as_environment, as_markdown
from consumer.settings import Settings
from contract.settings import SettingsError, load
from engine.model_files import ModelError

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


@main.command()
def run() -> None:
    """Run the service until SIGTERM or SIGINT; it is set up by environment variables DIGITS_… alone."""
    settings = _settings()
    model = _model(settings)
    configure(settings.log)
    try:
        with contextlib.closing(model):
            uvloop.run(service.run(settings, model))
    except Fatal as fatal:
        log.error("fatal", why=str(fatal), then="the service ends; nothing half done is committed")  # noqa: TRY400  # the sentence is the message
        sys.exit(EXIT_SETTINGS if isinstance(fatal, WrongSetting) else EXIT_FATAL)


@main.command()
def settings(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the defaults as docs/settings.md.")] = False,
) -> None:
    """Print every setting with its value and its meaning, as a file that could be sourced."""
    for line in as_markdown() if markdown else as_environment(_settings()):
        typer.echo(line)


def _settings() -> Settings:
    try:
        return load(Settings, owns_prefix=True)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_SETTINGS)


def _model(settings: Settings) -> PinnedModel:
    """Read the model before anything else is begun: a wrong path is known at once, and no broker is asked for it."""
    try:
        return PinnedModel.read(settings.model)
    except (ModelError, OSError) as error:
        typer.echo(str(WrongSetting("DIGITS_MODEL", settings.model, str(error))), err=True)
        sys.exit(EXIT_SETTINGS)
