"""The command line of `digit-producer`: options in, an exit code out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import typer

from contract import asyncapi, settings
from contract.schema import result_schema
from contract.settings import ClientSettings, SettingsError
from producer import commands, display
from producer.errors import Exit, ProducerError
from producer.send import OWN_HEADERS

EPILOG = "\n".join(
    (
        "Environment:",
        *(
            f"  {name}\n      {field.description} Default: {field.default}"
            for name, field in settings.variables(ClientSettings).items()
        ),
        "",
        "Exit codes:",
        *(f"  {code.value}: {code.meaning}" for code in Exit),
    )
)
SEND_EXAMPLES = """\
Examples:
  digit-producer send seven.png scans/ archive.zip --wait
  digit-producer send photos/ --key customer-7 --wait --json
  convert drawing.svg png:- | digit-producer send - --wait"""
WATCH_EXAMPLES = """\
Examples:
  digit-producer watch
  digit-producer watch --from-beginning --count 100 --json"""
SCHEMA_EXAMPLES = """\
Examples:
  digit-producer schema > result.schema.json
  digit-producer schema --asyncapi > docs/asyncapi.yaml"""

app = typer.Typer(
    name="digit-producer",
    help="Sends images of digits to the service, follows its results, looks after what failed.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON each, for machines.")]


@app.callback()
def common(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the Kafka client logs, too.")] = False,
) -> None:
    """Decide what becomes of the Kafka client's log.

    Without a word, Python would print its warnings between the lines of a command.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)


@app.command(epilog=SEND_EXAMPLES)
def send(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders (all files below, by name), zip archives; - is stdin."),
    ],
    *,
    key: Annotated[str | None, typer.Option(help="Key of the records: what has one key keeps its order.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A further header; may be given several times.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Send everything so many times.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results and print them.")] = False,
    timeout_s: Annotated[float, typer.Option(min=0, help="With --wait: how long, after the last was sent.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Send images and archives, each file as one record, as it is."""
    options = commands.SendOptions(
        paths=paths,
        key=None if key is None else key.encode(),
        extra_headers=_headers(header or []),
        repeat=repeat,
        wait=wait,
        timeout_s=timeout_s,
        as_json=as_json,
    )
    _run(commands.send(_settings(), options))


@app.command(epilog=WATCH_EXAMPLES)
def watch(
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest result instead of the next.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many results.")] = None,
    as_json: AsJson = False,
) -> None:
    """Follow the results live, as they are committed; Ctrl-C ends it with 0."""
    _run(
        commands.watch(_settings(), from_beginning=from_beginning, count=count, as_json=as_json),
        interrupted=Exit.OK,
    )


@app.command()
def create_topics(
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of each topic: the most instances and lanes there can be.")
    ] = 8,
    replicas: Annotated[
        int, typer.Option(min=1, help="Copies of each partition; 3 where records must not be lost.")
    ] = 1,
) -> None:
    """Create the topics that are missing, with the settings that the service wants."""
    _run(commands.create_topics(_settings(), partitions=partitions, replicas=replicas))


@app.command(epilog=SCHEMA_EXAMPLES)
def schema(
    *,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="The whole contract as an AsyncAPI 3 document (YAML) instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of a result."""
    if as_asyncapi:
        typer.echo(asyncapi.to_yaml(asyncapi.document(_settings().topics)), nl=False)
    else:
        typer.echo(json.dumps(result_schema(), indent=2))


def main() -> None:
    """Run the command line."""
    app()


def _settings() -> ClientSettings:
    try:
        return settings.load(ClientSettings, owns_prefix=False)
    except SettingsError as error:
        display.complain(str(error))
        raise typer.Exit(Exit.USAGE) from error


def _headers(given: list[str]) -> list[tuple[str, bytes]]:
    pairs = [item.partition("=") for item in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise typer.BadParameter("a header is NAME=VALUE", param_hint="--header")
        if name in OWN_HEADERS:
            raise typer.BadParameter(f"{name} is set for each file by itself", param_hint="--header")
    return [(name, value.encode()) for name, _, value in pairs]


def _run(command: Coroutine[Any, Any, Exit], *, interrupted: Exit = Exit.INTERRUPTED) -> NoReturn:
    """Run a command to its end and leave with its exit code; its errors become one line each."""
    try:
        code = asyncio.run(command)
    except ProducerError as error:
        display.complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = interrupted
    raise typer.Exit(code)
