"""The HTTP server in front of the topics: `digit-producer serve`, its `settings`, and `api-key`, a key for it."""

from __future__ import annotations

import gc
from typing import Annotated

import typer
import uvloop

from producer.commands.shared import exit_with_settings_error, run
from producer.display import print_line, print_message
from producer.errors import Exit
from transport.errors import FatalError
from transport.logs import configure
from transport.reports.opening import reporting
from transport.reports.reporter import Reporter
from transport.settings import kafka as kafka_settings
from transport.settings.kafka import SettingsError
from transport.settings.reference import as_environment

EXAMPLES = """\
Examples:
  digit-producer serve
  digit-producer serve --bootstrap-servers broker:9092
  DIGITS_WEB__LISTEN__HOST=0.0.0.0 DIGITS_WEB__ACCESS__KEYS_FILE=keys.toml digit-producer serve"""
SETTINGS_EXAMPLES = """\
Examples:
  digit-producer settings
  digit-producer settings --markdown > docs/http-settings.md"""
KEY_EXAMPLES = """\
Examples:
  digit-producer api-key shop >> keys.toml"""
FULL_COLLECTION = 200
"""The garbage collector goes through everything after this number of smaller collections: under load every ten seconds
or more, not twice a second."""
MISSING = "this command needs more packages: pip install 'digitstream[web]' (missing: {name})"


def serve() -> None:
    """Answer HTTP requests, until SIGTERM or Ctrl-C: docs/http.md has the API and the settings DIGITS_WEB__…."""
    try:
        # Only the commands of this module need these packages, which are an extra.
        from producer.web import server  # noqa: PLC0415
        from producer.web.gateway.opening import open_gateway  # noqa: PLC0415
        from producer.web.settings import ServeSettings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print_message(MISSING.format(name=error.name))
        raise typer.Exit(Exit.USAGE) from error
    try:
        settings = kafka_settings.load(ServeSettings, owns_prefix=False)
    except SettingsError as error:
        exit_with_settings_error(error)
    configure(settings.log)
    # All that was imported stays. To look through it for garbage would hold up every request for 50 ms now and then.
    gc.freeze()
    # The same holds for the answers in memory. Requests leave no reference cycles that live so long.
    gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTION)

    async def command(reporter: Reporter) -> Exit:
        try:
            await server.serve(settings, lambda given: open_gateway(given, given.web.gateway, print_message), reporter)
        except Exception as error:
            reporter.fatal(error)
            raise
        return Exit.OK

    try:
        with reporting(settings) as reporter:
            run(
                command(reporter), interrupted=Exit.OK, runner=uvloop.run
            )  # as the service does: a request takes less time
    except FatalError as error:  # a setting needs more packages
        print_message(str(error))
        raise typer.Exit(Exit.USAGE) from error


def settings(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the defaults as docs/http-settings.md.")] = False,
) -> None:
    """Print every setting of `serve` with its value and its meaning, as a file that a shell can source."""
    try:
        from producer.web.reference import as_markdown  # noqa: PLC0415  # as above
        from producer.web.settings import ServeSettings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print_message(MISSING.format(name=error.name))
        raise typer.Exit(Exit.USAGE) from error
    try:
        lines = as_markdown() if markdown else as_environment(kafka_settings.load(ServeSettings, owns_prefix=False))
    except SettingsError as error:
        exit_with_settings_error(error)
    for line in lines:
        typer.echo(line)


def api_key(
    name: Annotated[
        str, typer.Argument(help="Name of the key, for the log: also its tenant, unless the file has one.")
    ],
) -> None:
    """Make an API key: its entry for the file of keys goes to standard output, the key itself to standard error."""
    try:
        from producer.web.access.keys import entry, new_key  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        print_message(MISSING.format(name=error.name))
        raise typer.Exit(Exit.USAGE) from error
    key = new_key()
    try:
        lines = entry(name, key)
    except ValueError as error:
        print_message(str(error))
        raise typer.Exit(Exit.USAGE) from error
    print_message(f"the key, which is shown only now: {key}")
    for line in lines:
        print_line(line)
