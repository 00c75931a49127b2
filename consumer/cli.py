"""``digit-consumer``: runs the service.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 fatal error, 2 wrong setting, 130 forced by a second signal. Exit codes of
check: 0 everything is right, 1 something is wrong, 2 wrong setting or model.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated, Final, NoReturn

import structlog
import typer
import uvloop

from consumer import service
from consumer.reference import as_markdown
from consumer.settings import REMOVED, RENAMED, Settings
from consumer.startup import check as checks
from consumer.startup.model import fetch_challenger, fetch_model
from consumer.workers.processes.pinned_model import PinnedModel
from engine.model.files import ModelError
from engine.registry.stores import StoreUnavailable
from release.option import version_option
from transport.errors import FatalError, InvalidSettingError
from transport.logs import configure
from transport.reports.opening import reporting
from transport.reports.reporter import Reporter
from transport.settings.cli_options import with_kafka_options
from transport.settings.kafka import SettingsError, load
from transport.settings.old_names import drop_removed, take_old_names
from transport.settings.reference import as_environment

EXIT_FATAL: Final = 1
EXIT_SETTINGS: Final = 2

log = structlog.get_logger()
main = typer.Typer(
    epilog=" ".join(__doc__.splitlines()[2:]) if __doc__ else None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@main.callback()
def common(*, version: Annotated[bool, version_option("digit-consumer")] = False) -> None:
    """Reads images from Kafka and publishes a prediction for each, exactly once."""
    del version  # the option itself has ended the program


def run() -> None:
    """Run the service until SIGTERM or SIGINT; its settings are the variables DIGITS_…."""
    settings, warnings = _settings()
    model, model_warnings = _model(settings)
    challenger = fetch_challenger(settings)
    configure(settings.log)
    for warning in warnings:
        log.warning("old setting", why=warning)
    for warning in (*model_warnings, *challenger.warnings):
        log.warning("model store trouble", why=warning, action="continuing")
    with (
        contextlib.closing(model),
        contextlib.closing(challenger),
        _fatal_end(Reporter()),
        reporting(settings) as reporter,
        _fatal_end(reporter),
    ):
        uvloop.run(service.run(settings, model, reporter, challenger))


def check() -> None:
    """Check settings, model, brokers, topics and rights, and print a line for each, without joining the group.

    Exits with 0 if everything is right, with 1 if the service would not start or would log a warning, with 2 if a
    setting or the model cannot be used.
    """
    settings, warnings = _settings()
    configure(settings.log)
    _print_warnings(warnings)
    sys.exit(uvloop.run(checks.check(settings)))


def settings(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the defaults as docs/settings.md.")] = False,
) -> None:
    """Print every setting with its value and its meaning, as a file that a shell can source."""
    if markdown:
        lines = as_markdown()
    else:
        values, warnings = _settings()
        _print_warnings(warnings)
        lines = as_environment(values)
    for line in lines:
        typer.echo(line)


@contextlib.contextmanager
def _fatal_end(reporter: Reporter) -> Iterator[None]:
    """Log and report what ends the service, and exit."""
    try:
        yield
    except FatalError as fatal:
        log.error("fatal", why=str(fatal), action="exiting")  # noqa: TRY400  # the message is enough, without a traceback
        reporter.fatal(fatal)
        sys.exit(EXIT_SETTINGS if isinstance(fatal, InvalidSettingError) else EXIT_FATAL)
    except Exception as unexpected:
        reporter.fatal(unexpected)
        raise


def _settings() -> tuple[Settings, list[str]]:
    """Return the settings, and a sentence for each old name that was used."""
    try:
        warnings = [
            f"{old} is now called {new}; the old name is accepted for one more release"
            for old, new in take_old_names(RENAMED).items()
        ]
        warnings += [
            f"{name} has no effect any more; it is accepted for one more release" for name in drop_removed(REMOVED)
        ]
        return load(Settings, owns_prefix=True), warnings
    except SettingsError as error:
        _refuse(error)


def _print_warnings(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(warning, err=True)


def _refuse(error: SettingsError) -> NoReturn:
    typer.echo(str(error), err=True)
    sys.exit(EXIT_SETTINGS)


def _model(settings: Settings) -> tuple[PinnedModel, tuple[str, ...]]:
    """Fetch the model before anything else is started: a wrong path is reported at once, and without a broker."""
    try:
        fetched = fetch_model(settings)
        return PinnedModel.of(fetched.files, settings.model), fetched.warnings
    except (ModelError, StoreUnavailable, OSError) as error:
        typer.echo(str(InvalidSettingError("DIGITS_MODEL", settings.model, str(error))), err=True)
        sys.exit(EXIT_FATAL if isinstance(error, StoreUnavailable) else EXIT_SETTINGS)


for command in (run, check, settings):
    main.command()(with_kafka_options(command, _refuse))
