"""Reads the three topics as they are and says whether every request was answered once, in order.

It knows the contract and nothing of the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import TopicPartition

from producer.audit.merge import Merge
from producer.audit.report import Report
from producer.audit.scope import Scope
from producer.display import complain
from transport.admin.cluster import RETRY_PAUSE_S, look_around
from transport.clients import open_reader
from transport.settings.kafka import ClientSettings

SETTLE_S: Final = 5.0
"""A commit is seen among the results at once; that its offset is not, is over well before."""


async def audit(settings: ClientSettings, scope: Scope, passed: Callable[[int], None]) -> Report:
    """Audit a scope; `passed` hears of records as they are read, how many.

    Raises
    ------
    KafkaRequestError
        Kafka does not do its part, or an open transaction hides the end of a log.
    """
    report, group = Report(), settings.kafka.group_id
    if scope.offsets and scope.committed.keys().isdisjoint(scope.requests):
        report.unproven = True
        report.tell(f"group {group!r} has committed nothing: there is nothing to compare with")
    answered: set[TopicPartition] = set()
    async with contextlib.AsyncExitStack() as stack:
        # One reader for each topic: while one log waits to be drawn in, its data would hold up the others.
        readers = [await stack.enter_async_context(open_reader(settings.kafka)) for _ in range(3)]
        for family in scope.families():
            merge = Merge(scope, family, readers, report, passed)
            await merge.run()
            answered |= merge.answered_without_offset
    for partition in await _still_without_offset(settings, answered):
        report.contradicts(
            f"{partition.topic}/{partition.partition} has results, but group {group!r} has no committed offset there"
        )
    return report


async def _still_without_offset(settings: ClientSettings, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    """Return where the group has no offset even now: its first commit may have come after the audit's start."""
    without = sorted(partitions)
    if not without:
        return without
    deadline_s = time.monotonic() + SETTLE_S
    async with look_around(settings.kafka, complain) as cluster:
        while without and time.monotonic() < deadline_s:
            committed = await cluster.committed(settings.kafka.group_id)
            without = [each for each in without if each not in committed]
            await asyncio.sleep(RETRY_PAUSE_S if without else 0)
    return without
