"""Logs the failed items of committed transactions, at level debug, and records that cannot be parsed."""

from __future__ import annotations

import structlog
from aiokafka import TopicPartition

from consumer.partitions.observers import LaneObserver, Publication
from consumer.workers.tasks import Part

log = structlog.get_logger()


class FailureLog(LaneObserver):
    """Logs one line per failed item, and one line for all unreadable records of a part. It has no state."""

    def committed(self, publication: Publication) -> None:
        """Log the failed items of a committed transaction."""
        for ready in publication.parts:
            if ready.part.failures:
                _log_failures(publication.partition, ready.part)


def _log_failures(partition: TopicPartition, part: Part) -> None:
    name = f"{partition.topic}/{partition.partition}"
    if part.unread is not None:
        log.warning(
            "unreadable records",
            partition=name,
            count=part.unread.count,
            first_offset=part.unread.first_offset,
            why=part.unread.why,
            action="dead-lettered without value",
        )
    for item in part.failed_items:
        log.debug(
            "item failed",
            partition=name,
            offset=item.offset,
            item=item.item,
            request_id=item.request_id,
            trace_id=item.trace_id,
            code=item.code,
        )
    left_out = sum(part.failures.values()) - len(part.failed_items)
    if part.failed_items and left_out:
        log.debug("more items failed", partition=name, items=left_out)
