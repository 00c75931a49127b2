"""`digit-producer watch`: prints results as they are committed."""

from __future__ import annotations

from typing import Annotated

import typer

from contract.records import Result
from producer import display
from producer.commands.shared import AsJson, load_settings, run
from producer.display import print_message
from producer.errors import Exit
from producer.send.results import InvalidResult, open_results
from transport.admin.cluster import open_cluster
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer watch
  digit-producer watch --from-beginning --count 100 --json"""


def watch(
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest result instead of the next one.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after this number of results.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print results as they are committed, until Ctrl-C, which ends the command with 0."""
    command = _watch(load_settings(), from_beginning=from_beginning, count=count, as_json=as_json)
    run(command, interrupted=Exit.OK)


async def _watch(settings: ClientSettings, *, from_beginning: bool, count: int | None, as_json: bool) -> Exit:
    async with open_cluster(settings.kafka, print_message) as cluster:
        predictions = cluster.partitions(settings.topics, "predictions")
    async with open_results(settings.kafka, predictions, from_beginning=from_beginning) as results:
        print_message(f"following {settings.topics.predictions}, {len(predictions)} partitions; press Ctrl-C to end")
        left = count
        while left is None or left > 0:
            for result in (await results.next_batch())[:left]:
                _show(result, as_json=as_json)
                left = None if left is None else left - 1
    return Exit.OK


def _show(result: Result | InvalidResult, *, as_json: bool) -> None:
    if isinstance(result, InvalidResult):
        print_message(f"{result.where} is not a result: {result.reason}")
    elif as_json:
        display.print_json(result.model_dump(mode="json", by_alias=True))
    else:
        digit, confidence = display.digit_and_confidence(result)
        display.print_line(
            f"{result.result_id:<36} {digit:>1} {confidence:>6} ",
            display.status(result),
            f"{'':<{11 - len(result.status)}}{result.item.name or ''}  {display.explanation(result)}".rstrip(),
        )
