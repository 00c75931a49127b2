"""`digit-producer serve`: the HTTP server in front of the topics. `digit-producer api-key`: makes a key for it."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from producer.commands.shared import exit_with_settings_error, run
from producer.display import print_line, print_message
from producer.errors import Exit
from transport.settings import kafka as kafka_settings
from transport.settings.kafka import SettingsError

EXAMPLES = """\
Examples:
  digit-producer serve
  digit-producer serve --bootstrap-servers broker:9092
  DIGITS_WEB__LISTEN__HOST=0.0.0.0 DIGITS_WEB__ACCESS__KEYS_FILE=keys.toml digit-producer serve"""
KEY_EXAMPLES = """\
Examples:
  digit-producer api-key shop >> keys.toml"""
MISSING = "this command needs more packages: pip install 'digitstream[web]' (missing: {name})"


def serve() -> None:
    """Answer HTTP requests, until SIGTERM or Ctrl-C: docs/http.md has the API and the settings DIGITS_WEB__…."""
    try:
        # Only this command needs these packages, which are an extra.
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
    server.configure_log(settings.web)

    async def command() -> Exit:
        await server.serve(settings, lambda given: open_gateway(given, given.web.gateway, print_message))
        return Exit.OK

    run(command(), interrupted=Exit.OK, runner=uvloop.run)  # as the service does: a request takes less time


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
