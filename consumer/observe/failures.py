"""Logs each failed item of a committed transaction, at level debug."""

from __future__ import annotations

import structlog

from consumer.partitions.observers import LaneObserver, Publication
from contract.records import request_id

log = structlog.get_logger()


class FailureLog(LaneObserver):
    """Logs one line per failed item. It has no state."""

    def committed(self, publication: Publication) -> None:
        """Log the failed items of a committed transaction."""
        for request, answer in publication.answered:
            task = request.task
            for item in answer.failed_items:
                log.debug(
                    "item failed",
                    partition=f"{task.topic}/{task.partition}",
                    offset=task.offset,
                    item=item.index,
                    request_id=task.request_id or request_id(task.topic, task.partition, task.offset),
                    trace_id=task.trace_id,
                    code=item.code,
                )
