"""Reports faults of the service itself: workers that end, and items at which it failed in an unforeseen way.

Items that fail for a reason of their own (damaged, too large) are answers, not faults: metrics count them.
"""

from __future__ import annotations

import re
from typing import Final

from consumer.partitions.observers import LaneObserver, Publication
from consumer.workers.observers import WorkerObserver
from consumer.workers.processes.deaths import Suspect
from consumer.workers.tasks import WHOLE_BATCH
from contract.errors import ErrorCode
from transport.reports.reporter import Reporter

FAULTS: Final = frozenset(
    {str(code) for code in (ErrorCode.INTERNAL_ERROR, ErrorCode.WORKER_CRASHED, ErrorCode.WORKER_TIMEOUT)}
)
"""Codes of items that no sender is expected to cause."""
FAULT: Final = re.compile(r"\w{1,100}( at [\w./<>-]{1,200}:\d{1,6})?", re.ASCII)
"""What a worker may say of an internal error. A worker that an image has taken control of could say anything."""


class FaultReports(LaneObserver, WorkerObserver):
    """Reports one event for each code in a part, with the place of its first item. Owner: the service."""

    def __init__(self, reporter: Reporter, requests_topic: str) -> None:
        self._reporter = reporter
        self._topic = requests_topic

    def committed(self, publication: Publication) -> None:
        """Report the items of a committed transaction at which the service failed."""
        topic, partition = publication.partition
        for ready in publication.parts:
            part = ready.part
            reported = set()
            for item in part.failed_items:
                if item.code in FAULTS and item.code not in reported:
                    reported.add(item.code)
                    self._reporter.error(
                        "item failed",
                        {
                            "code": item.code,
                            "topic": topic,
                            "partition": partition,
                            "offset": item.offset,
                            "item": item.item,
                            "items": part.failures.get(item.code, 1),
                            "request_id": item.request_id,
                        },
                        detail=f"{item.code} {item.fault}" if FAULT.fullmatch(item.fault) else item.code,
                    )

    def worker_replaced(self, why: str, suspect: Suspect | None = None) -> None:
        """Report a worker that has ended, and what it was reading. Its request is known when the item is answered."""
        where: dict[str, str | int] = {"code": why}
        if suspect is not None:
            where |= {"topic": self._topic, "partition": suspect.partition, "offset": suspect.offset}
            where |= {"item": "all of its batch" if suspect.item == WHOLE_BATCH else suspect.item}
        self._reporter.error("worker replaced", where, detail=why)
