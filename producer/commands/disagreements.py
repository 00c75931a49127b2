"""`digit-producer disagreements`: writes what two models have read differently into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from aiokafka import TopicPartition

from producer import display
from producer.commands.shared import load_settings, run
from producer.disagreements.folder import LINES, DisagreementFolder
from producer.display import print_message
from producer.errors import Exit, UsageError
from transport.admin.cluster import open_cluster
from transport.reading.log_reader import OffsetRange, offset_ranges, open_range_readers
from transport.settings.kafka import ClientSettings, KafkaSettings

EXAMPLES = """\
Examples:
  digit-producer disagreements --to ./disputed
  digit-engine compare ./disputed --labels labels.csv"""


def disagreements(
    *,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder; what it has already stays.")],
) -> None:
    """Write the pictures that champion and challenger have read differently, and both answers, into a folder."""
    settings = load_settings()
    run(_disagreements(settings, to))


async def _disagreements(settings: ClientSettings, to: Path) -> Exit:
    if not settings.topics.disagreements:
        raise UsageError("no topic of disagreements is set (DIGITS_TOPICS__DISAGREEMENTS)")
    async with open_cluster(settings.kafka, print_message) as cluster:
        partitions = cluster.partitions(settings.topics, "disagreements")
        now = await offset_ranges(settings.kafka, partitions, open_transactions=False)
    wanted = {partition: span for partition, span in now.items() if span.start < span.end}
    written, unknown = await _export(settings.kafka, wanted, DisagreementFolder(to)) if wanted else (0, 0)
    if unknown:
        print_message(f"{unknown} records of {settings.topics.disagreements} are no disagreements")
    display.print_line(f"{written} new disagreements in {to / LINES}")
    return Exit.OK


async def _export(
    kafka: KafkaSettings, wanted: dict[TopicPartition, OffsetRange], folder: DisagreementFolder
) -> tuple[int, int]:
    """Write what these spans have; return how many were new, and how many records are no disagreements."""
    written = unknown = 0
    async with open_range_readers(kafka, wanted) as readers:
        for reader in readers.values():
            while batch := await reader.next_batch():
                more, strange = folder.add(batch)
                written, unknown = written + more, unknown + strange
    return written, unknown
