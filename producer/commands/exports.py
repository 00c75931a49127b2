"""`digit-producer unsure` and `disagreements`: save pictures and answers for `digit-engine` to work with."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from aiokafka import TopicPartition

from producer import display
from producer.commands.filter_options import epoch_ms
from producer.commands.shared import load_settings, run
from producer.disagreements.folder import LINES, DisagreementFolder
from producer.display import print_message
from producer.errors import Exit, UsageError
from producer.unsure import ANSWERS, UnsureFolder, unsure_answers
from transport.admin.cluster import open_cluster
from transport.reading.log_reader import OffsetRange, offset_ranges, open_range_readers
from transport.settings.kafka import ClientSettings, KafkaSettings

UNSURE_EXAMPLES = """\
Examples:
  digit-producer unsure --to ./unsure --since 2026-01-31 --limit 1000
  digit-engine collect ./unsure --to ./to-label"""
DISAGREEMENTS_EXAMPLES = """\
Examples:
  digit-producer disagreements --to ./disputed
  digit-engine compare ./disputed --labels labels.csv"""


def unsure(
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the requests and their answers.")],
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Read at this time or later, such as 2026-01-31T12:00Z.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Save this many answers at most.")] = None,
) -> None:
    """Save the requests that have unsure answers, as they were sent, with the answers.

    `digit-engine collect` then takes the pictures out of archives, and sorts all into folders to be labelled.
    """
    run(_unsure(load_settings(), to, epoch_ms(since, "--since") or 0, limit))


async def _unsure(settings: ClientSettings, to: Path, since_ms: int, limit: int | None) -> Exit:
    if (to / ANSWERS).exists():
        raise UsageError(f"{str(to / ANSWERS)!r} exists: choose another folder")
    folder, saved, gone = UnsureFolder(to), 0, 0
    async with (
        open_cluster(settings.kafka, print_message) as cluster,
        contextlib.aclosing(unsure_answers(settings, cluster, since_ms)) as answers,
    ):
        async for result, value in answers:
            if value is None:
                gone += 1
                continue
            folder.add(result, value)
            saved += 1
            if saved == limit:
                break
    display.print_line(f"{saved:,} unsure answers saved in {to}; the requests of {gone:,} others are no longer there")
    return Exit.OK


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
