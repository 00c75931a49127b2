"""The command line of `digit-producer`: its commands, with the settings and exit codes in the help."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from producer.commands import audit, create_topics, dead_letters, exports, replay, schema, send, serve, status, watch
from producer.commands.shared import exit_with_settings_error
from producer.errors import Exit
from release.option import version_option
from transport.settings.cli_options import with_kafka_options
from transport.settings.kafka import ClientSettings, variables

EPILOG = "\n".join(
    (
        "Environment:",
        *(
            f"  {name}\n      {field.description} Default: {'none' if field.default is None else field.default}"
            for name, field in variables(ClientSettings).items()
        ),
        "",
        "Exit codes:",
        *(f"  {code.value}: {code.meaning}" for code in Exit),
    )
)

app = typer.Typer(
    name="digit-producer",
    help="Sends images of digits to the service, follows its results, and shows and replays what failed.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command, examples in (
    (create_topics.create_topics, create_topics.EXAMPLES),
    (send.send, send.EXAMPLES),
    (watch.watch, watch.EXAMPLES),
    (status.status, status.EXAMPLES),
    (dead_letters.dead_letters, dead_letters.EXAMPLES),
    (replay.replay, replay.EXAMPLES),
    (exports.disagreements, exports.DISAGREEMENTS_EXAMPLES),
    (audit.audit, audit.EXAMPLES),
    (exports.unsure, exports.UNSURE_EXAMPLES),
    (serve.serve, serve.EXAMPLES),
):
    app.command(epilog=examples)(with_kafka_options(command, exit_with_settings_error))
app.command(epilog=schema.EXAMPLES)(schema.schema)  # it does not connect to Kafka
app.command(epilog=serve.SETTINGS_EXAMPLES)(serve.settings)  # as above
app.command(epilog=serve.KEY_EXAMPLES)(serve.api_key)


@app.callback()
def common(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show also what the Kafka client logs.")] = False,
    version: Annotated[bool, version_option("digit-producer")] = False,
) -> None:
    """Show or hide the log of the Kafka client.

    Without this, Python would print its warnings between the lines of a command.
    """
    del version  # its callback has ended the program already
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)


def main() -> None:
    """Run the command line."""
    app()
