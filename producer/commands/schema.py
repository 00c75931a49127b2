"""`digit-producer schema`: prints the wire contract for machines."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from contract import asyncapi
from contract.schema import result_schema
from producer.commands.shared import load_settings

EXAMPLES = """\
Examples:
  digit-producer schema > result.schema.json
  digit-producer schema --asyncapi > docs/asyncapi.yaml"""


def schema(
    *,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print the whole contract as an AsyncAPI 3 document (YAML).")
    ] = False,
) -> None:
    """Print the JSON Schema of a result."""
    if as_asyncapi:
        typer.echo(asyncapi.to_yaml(asyncapi.document(load_settings().topics)), nl=False)
    else:
        typer.echo(json.dumps(result_schema(), indent=2))
