"""Reads the three topics, and reports whether every request was answered once and in order.

The audit uses only the wire contract and nothing of the service's own code, so a fault there cannot hide here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import TopicPartition

from producer.audit.merge import Merger
from producer.audit.report import Report
from producer.audit.scope import Scope
from producer.display import print_message
from transport.admin.cluster import open_cluster
from transport.clients import open_reader
from transport.settings.kafka import ClientSettings

FIRST_COMMIT_WAIT_S: Final = 5.0
"""How long to wait for an offset whose results are there: both are committed together, but are not seen together."""
POLL_S: Final = 0.1


async def audit(settings: ClientSettings, scope: Scope, on_read: Callable[[int], None]) -> Report:
    """Audit a scope.

    Parameters
    ----------
    settings, scope
        Where to read, and what.
    on_read
        Is called with the number of records each time some have been read.

    Raises
    ------
    KafkaRequestError
        Kafka does not answer, or an open transaction hides the end of a log.
    """
    report, group = Report(), settings.kafka.group_id
    if scope.offsets and scope.committed.keys().isdisjoint(scope.requests):
        report.unproven = True
        report.list_fault(f"group {group!r} has committed no offset, so nothing can be proved: check the group's name")
    answered: set[TopicPartition] = set()
    async with contextlib.AsyncExitStack() as stack:
        # One reader for each topic: a shared one would fetch nothing for a topic while data of another one waits.
        readers = [await stack.enter_async_context(open_reader(settings.kafka)) for _ in range(3)]
        for copartitions in scope.copartitions():
            merger = Merger(scope, copartitions, readers, report, on_read)
            await merger.run()
            answered |= merger.answered_without_offset
    for partition in await _still_without_offset(settings, answered):
        report.add_inconsistency(
            f"{partition.topic}/{partition.partition} has results, but group {group!r} has no committed offset there"
        )
    return report


async def _still_without_offset(settings: ClientSettings, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    """Return the partitions without an offset even now: the first commit may have come after the audit's start."""
    without = sorted(partitions)
    if not without:
        return without
    deadline_s = time.monotonic() + FIRST_COMMIT_WAIT_S
    async with open_cluster(settings.kafka, print_message) as cluster:
        while without and time.monotonic() < deadline_s:
            committed = await cluster.committed_offsets(settings.kafka.group_id)
            without = [each for each in without if each not in committed]
            await asyncio.sleep(POLL_S if without else 0)
    return without
