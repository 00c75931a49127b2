"""`digit-producer create-topics`: creates the three topics with the settings that the service needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from contract.topics import MAX_RECORD_BYTES, TopicFound, misfits
from producer import display
from producer.commands.shared import load_settings, run
from producer.display import print_message
from producer.errors import Exit
from transport.admin.cluster import open_cluster
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer create-topics
  digit-producer create-topics --partitions 24 --replicas 3
  digit-producer create-topics --check && echo the topics fit the service"""


def create_topics(
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of each topic: no more instances than these can share the work.")
    ] = 8,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each partition; use 3 if no record may be lost.")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Create nothing; the exit code is 1 if a topic is missing or does not fit.")
    ] = False,
) -> None:
    """Create the missing topics, with the settings that the service needs.

    Topics that exist are not changed. What does not fit the service is printed; it changes the exit code only with
    --check.
    """
    settings = load_settings()
    run(_check(settings) if check else _create_topics(settings, partitions=partitions, replicas=replicas))


async def _create_topics(settings: ClientSettings, *, partitions: int, replicas: int) -> Exit:
    configs = settings.topics.creation_configs(replicas=replicas)
    async with open_cluster(settings.kafka, print_message) as cluster:
        created = await cluster.create_topics(configs, partitions=partitions, replicas=replicas)
    for name in configs:
        display.print_line(f"{name}: {'created' if name in created else 'exists, not changed'}")
    # Read them again: the new topics have to fit the others, too.
    async with open_cluster(settings.kafka, print_message) as cluster:
        _print_misfits(settings, await cluster.topics_found(settings.topics))
    return Exit.OK


async def _check(settings: ClientSettings) -> Exit:
    async with open_cluster(settings.kafka, print_message) as cluster:
        found = await cluster.topics_found(settings.topics)
    for name in settings.topics.by_role.values():
        display.print_line(f"{name}: {'exists' if name in found else 'is missing'}")
    misfit = _print_misfits(settings, found)
    return Exit.OK if len(found) == len(settings.topics.by_role) and not misfit else Exit.NOT_ALL_WELL


def _print_misfits(settings: ClientSettings, found: Mapping[str, TopicFound]) -> bool:
    """Print what does not fit, and which settings cannot be read; return whether anything was printed."""
    lines = [str(misfit) for misfit in misfits(settings.topics, found, record_bytes=MAX_RECORD_BYTES)]
    lines += [
        f"{name}: this user may not read its settings, so whether they fit is not known: grant the ACL DescribeConfigs"
        for name, topic in found.items()
        if topic.config is None
    ]
    for line in lines:
        print_message(line)
    return bool(lines)
