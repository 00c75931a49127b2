"""The command line of `digit-producer`: its commands, its settings, its exit codes."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from contract.settings import ClientSettings, variables
from producer.commands import audit, create_topics, dead_letters, replay, schema, send, watch
from producer.errors import Exit

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
    help="Sends images of digits to the service, follows its results, looks after what failed.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(epilog=create_topics.EXAMPLES)(create_topics.create_topics)
app.command(epilog=send.EXAMPLES)(send.send)
app.command(epilog=watch.EXAMPLES)(watch.watch)
app.command(epilog=dead_letters.EXAMPLES)(dead_letters.dead_letters)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=audit.EXAMPLES)(audit.audit)
app.command(epilog=schema.EXAMPLES)(schema.schema)


@app.callback()
def common(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the Kafka client logs, too.")] = False,
) -> None:
    """Decide what becomes of the Kafka client's log.

    Without a word, Python would print its warnings between the lines of a command.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)


def main() -> None:
    """Run the command line."""
    app()
