"""`digit-producer create-topics`: the three topics, with the settings they should have."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from contract.settings import ClientSettings
from producer import display
from producer.cluster import look_around
from producer.commands.shared import load_settings, run
from producer.errors import Exit

EXAMPLES = """\
Examples:
  digit-producer create-topics
  digit-producer create-topics --partitions 24 --replicas 3"""


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
    run(_create_topics(load_settings(), partitions=partitions, replicas=replicas))


async def _create_topics(settings: ClientSettings, *, partitions: int, replicas: int) -> Exit:
    configs = settings.topics.creation_configs()
    async with look_around(settings.kafka) as cluster:
        created = await cluster.create_topics(configs, partitions=partitions, replicas=replicas)
    for name in configs:
        display.print_line(Text(f"{name}: {'created' if name in created else 'exists, left as it is'}"))
    return Exit.OK
