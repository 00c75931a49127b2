"""`digit-producer create-topics`: the three topics, with the settings they should have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.text import Text

from contract.topics import MAX_RECORD_BYTES, TopicFound, misfits
from producer import display
from producer.commands.shared import load_settings, run
from producer.display import complain
from producer.errors import Exit
from transport.admin.cluster import look_around
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer create-topics
  digit-producer create-topics --partitions 24 --replicas 3
  digit-producer create-topics --check && echo the topics are as they should be"""


def create_topics(
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of each topic: the most instances and lanes there can be.")
    ] = 8,
    replicas: Annotated[
        int, typer.Option(min=1, help="Copies of each partition; 3 where records must not be lost.")
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Create nothing; end with 1 if a topic is missing or does not fit.")
    ] = False,
) -> None:
    """Create the topics that are missing, with the settings that the service wants.

    Topics that exist are left as they are; what does not fit the service is printed, and does not change the exit
    code unless with --check.
    """
    settings = load_settings()
    run(_check(settings) if check else _create_topics(settings, partitions=partitions, replicas=replicas))


async def _create_topics(settings: ClientSettings, *, partitions: int, replicas: int) -> Exit:
    configs = settings.topics.creation_configs(replicas=replicas)
    async with look_around(settings.kafka, complain) as cluster:
        created = await cluster.create_topics(configs, partitions=partitions, replicas=replicas)
    for name in configs:
        display.print_line(Text(f"{name}: {'created' if name in created else 'exists, left as it is'}"))
    async with look_around(
        settings.kafka, complain
    ) as cluster:  # again: those that are new have to fit the others, too
        _complain_of_misfits(settings, await cluster.topics_found(settings.topics))
    return Exit.OK


async def _check(settings: ClientSettings) -> Exit:
    async with look_around(settings.kafka, complain) as cluster:
        found = await cluster.topics_found(settings.topics)
    for name in settings.topics.by_role.values():
        display.print_line(Text(f"{name}: {'exists' if name in found else 'is missing'}"))
    misfit = _complain_of_misfits(settings, found)
    return Exit.OK if len(found) == len(settings.topics.by_role) and not misfit else Exit.NOT_ALL_WELL


def _complain_of_misfits(settings: ClientSettings, found: Mapping[str, TopicFound]) -> bool:
    """Print on standard error what does not fit or may not be read; return whether there is something."""
    lines = [str(misfit) for misfit in misfits(settings.topics, found, record_bytes=MAX_RECORD_BYTES)]
    lines += [
        f"{name}: its settings may not be read, so their fit is not known (ACL: DescribeConfigs)"
        for name, topic in found.items()
        if topic.config is None
    ]
    for line in lines:
        display.complain(line)
    return bool(lines)
