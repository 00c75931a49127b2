"""The ledger of one partition of requests: it matches requests, results and dead letters, and counts the faults.

The records of the three topics are added in the order of their logs, requests up to an offset before the results of
that offset. An entry stays only as long as something about it is open, so memory grows with the gaps.

What retention has deleted does not count as missing, but as *expired*. Two rules say what may have been deleted:

1. Retention deletes from the start of a log. So only answers before the first one that is left of this partition of
   requests can be gone.
2. No answer is older than its request. So an answer whose request is newer than the oldest record that is left of the
   log was never deleted, and has to be there.

The second rule matters when several partitions of requests share a log of results. Results of one of them may be
missing just before its first one that is left, or none of its results may be left at all, while those of the other
partitions are there.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Final

from contract.records import request_id, result_id
from contract.topics import CLOCK_TOLERANCE_MS
from producer.audit.consistency import (
    AuditedDeadLetter,
    AuditedRequest,
    AuditedResult,
    dead_letter_mismatches,
    result_mismatches,
)
from producer.audit.report import LISTED_FAULTS, Report

ItemPosition = tuple[int, int]
"""Offset of the request and index of the item: the order in which results have to come."""

AFTER_ALL: Final[ItemPosition] = (1 << 63, 0)
"""Greater than the position of any item."""


@dataclass(slots=True)
class _OpenRequest:
    """A request that does not have all its results yet."""

    request: AuditedRequest
    item_count: int | None = None
    """Images in the request; None until its first result says it."""
    answered: set[int] = field(default_factory=set)
    """Indices of the items that have a result."""


class Ledger:
    """Matches the records of one partition of requests. Owner: the auditing task.

    Parameters
    ----------
    report
        Counts and faults are added to it.
    topic, partition
        The partition of requests.
    log_start
        The first offset of the requests' log that is left.
    results_cut, dead_letters_cut
        True if retention has deleted results, or dead letters, from the start of the partition that holds them.
    """

    def __init__(
        self, report: Report, *, topic: str, partition: int, log_start: int, results_cut: bool, dead_letters_cut: bool
    ) -> None:
        self._report = report
        self._topic = topic
        self._partition = partition
        self._log_start = log_start
        # An absent result or dead letter before these positions may have been deleted.
        self._results_from: ItemPosition = AFTER_ALL if results_cut else (0, 0)
        self._dead_letters_from: ItemPosition = AFTER_ALL if dead_letters_cut else (0, 0)
        # Timestamps of the oldest records that are left. Until they are known, any answer may have been deleted.
        self._oldest_result_ms = self._oldest_dead_letter_ms = math.inf
        self._open: dict[int, _OpenRequest] = {}
        self._newest_result: ItemPosition = (-1, 0)
        self._expired_offset = -1
        self._failed: dict[ItemPosition, AuditedResult] = {}
        """Failed results without their dead letter."""
        self._dead_letters: dict[ItemPosition, AuditedDeadLetter] = {}
        """Dead letters without their failed result."""
        self._results_complete = False
        self.newest_dead_letter: ItemPosition = (-1, 0)
        """Position of the latest dead letter added."""

    def set_oldest_result(self, timestamp_ms: int) -> None:
        """Set the timestamp of the oldest result that is left in the partition, of whichever request."""
        self._oldest_result_ms = timestamp_ms

    def set_oldest_dead_letter(self, timestamp_ms: int) -> None:
        """Set the timestamp of the oldest dead letter that is left in the partition, of whichever request."""
        self._oldest_dead_letter_ms = timestamp_ms

    def add_request(self, request: AuditedRequest) -> None:
        """Add a request below the committed offset."""
        self._report.requests += 1
        if self._results_from == AFTER_ALL:
            # Requests are added up to that of the first result that is left: only the last of them can be its own.
            self._expire_before(request.offset)
        self._open[request.offset] = _OpenRequest(request)

    def add_result(self, audited: AuditedResult) -> None:
        """Add a result of a request below the committed offset."""
        self._report.results += 1
        position = (audited.result.source.offset, audited.result.item.index)
        if self._results_from == AFTER_ALL:
            self._set_first_result(position)
        if position[0] < self._log_start:
            self._expire(position[0])
        elif position[0] not in self._open:
            self._count_unexpected(position)
        elif position[1] in self._open[position[0]].answered:
            self._count_duplicate(position)
        else:
            self._match_result(self._open[position[0]], audited, position)

    def add_dead_letter(self, audited: AuditedDeadLetter) -> None:
        """Add a dead letter of a request below the committed offset."""
        self._report.dead_letters += 1
        dead_letter = audited.dead_letter
        position = (dead_letter.origin_offset, dead_letter.item_index)
        self.newest_dead_letter = max(self.newest_dead_letter, position)
        if self._dead_letters_from == AFTER_ALL:
            self._dead_letters_from = position
        if position[0] < self._log_start or self._may_lack_result(audited):
            return  # its result cannot be judged, so the dead letter cannot be judged either
        name = f"dead letter {dead_letter.result_id}"
        if position < self._dead_letters_from:
            self._report.add_inconsistency(f"{name} comes after that of a later item")
            return
        if audited.has_value == (dead_letter.value_left_out is not None):
            self._report.add_inconsistency(f"{name} should have either a value or the header value-left-out")
        if position in self._failed:
            self._compare(self._failed.pop(position), audited)
        elif position in self._dead_letters:
            self._report.add_inconsistency(f"{name} is there twice")
        else:
            self._dead_letters[position] = audited

    def awaits_dead_letter(self, position: ItemPosition) -> bool:
        """Return whether a failed result has been added, and its dead letter has not."""
        return position in self._failed

    def dead_letters_read_to(self, position: ItemPosition) -> None:
        """Note that every dead letter up to a position has been added: one that is absent will not come."""
        if position in self._failed and self._may_lack_dead_letter(self._failed[position], position):
            del self._failed[position]

    def results_read(self) -> None:
        """Note that every result has been added."""
        self._results_complete = True

    def close(self) -> None:
        """Count everything that is still open as a fault; all three logs have been read to their ends."""
        self._results_complete = True
        for entry in self._open.values():
            self._count_missing(entry)
        for position, failed in self._failed.items():
            if not self._may_lack_dead_letter(failed, position):
                self._report.add_inconsistency(f"failed result {failed.result.result_id} has no dead letter")
        for audited in self._dead_letters.values():
            if not self._may_lack_result(audited):
                self._report.add_inconsistency(f"dead letter {audited.dead_letter.result_id} has no failed result")

    def _set_first_result(self, position: ItemPosition) -> None:
        """Set the position of the first result that is left: results before it may have been deleted."""
        self._results_from = position
        self._expire_before(position[0])
        self._dead_letters = {
            each: audited for each, audited in self._dead_letters.items() if not self._may_lack_result(audited)
        }
        entry = self._open.get(position[0])
        if position[1] > 0 and entry is not None and self._may_be_deleted(entry.request.timestamp_ms):
            self._expire(position[0])
            entry.answered.update(range(position[1]))

    def _may_be_deleted(self, timestamp_ms: int) -> bool:
        """Return whether a request is old enough for its results to have been deleted."""
        return timestamp_ms <= self._oldest_result_ms + CLOCK_TOLERANCE_MS

    def _may_lack_result(self, audited: AuditedDeadLetter) -> bool:
        """Return whether the result of a dead letter may have been deleted; False while no result has been read."""
        dead_letter = audited.dead_letter
        position = (dead_letter.origin_offset, dead_letter.item_index)
        is_known = self._results_from != AFTER_ALL or self._results_complete
        return is_known and position < self._results_from and self._may_be_deleted(dead_letter.origin_timestamp_ms)

    def _may_lack_dead_letter(self, failed: AuditedResult, position: ItemPosition) -> bool:
        """Return whether the dead letter of a failed result may have been deleted."""
        is_old = failed.result.source.timestamp_ms <= self._oldest_dead_letter_ms + CLOCK_TOLERANCE_MS
        return is_old and position < self._dead_letters_from

    def _expire_before(self, offset: int) -> None:
        deletable = [
            each
            for each, entry in self._open.items()
            if each < offset and self._may_be_deleted(entry.request.timestamp_ms)
        ]
        for each in deletable:
            self._expire(each)
            del self._open[each]

    def _expire(self, offset: int) -> None:
        if offset != self._expired_offset:  # a request counts once, however many of its items are gone
            self._report.expired += 1
            self._expired_offset = offset

    def _count_unexpected(self, position: ItemPosition) -> None:
        """Count a result whose request is not open: it is a duplicate, or belongs to no request."""
        if position > self._newest_result:
            self._report.add_inconsistency(f"result {self._id(position)} answers no committed request")
        else:
            self._count_duplicate(position)

    def _count_duplicate(self, position: ItemPosition) -> None:
        self._report.duplicated += 1
        self._report.list_fault(f"duplicated: {self._id(position)}")

    def _match_result(self, entry: _OpenRequest, audited: AuditedResult, position: ItemPosition) -> None:
        if position < self._newest_result:
            self._report.out_of_order += 1
            self._report.list_fault(f"out of order: {self._id(position)} comes after {self._id(self._newest_result)}")
        self._newest_result = max(self._newest_result, position)
        entry.item_count = entry.item_count or audited.result.item.count
        default_id = request_id(self._topic, self._partition, position[0])
        for name in result_mismatches(audited, entry.request, entry.item_count, default_id):
            self._report.add_inconsistency(f"result {self._id(position)} has another {name} than its request")
        entry.answered.add(position[1])
        if len(entry.answered) >= entry.item_count:
            del self._open[position[0]]
        if audited.result.error is not None:
            dead_letter = self._dead_letters.pop(position, None)
            if dead_letter is None:
                self._failed[position] = audited
            else:
                self._compare(audited, dead_letter)

    def _compare(self, failed: AuditedResult, audited: AuditedDeadLetter) -> None:
        for name in dead_letter_mismatches(audited, failed):
            self._report.add_inconsistency(
                f"dead letter {audited.dead_letter.result_id} has another {name} than its result"
            )

    def _count_missing(self, entry: _OpenRequest) -> None:
        """Count the results that a request lacks as missing, or the request as expired."""
        offset = entry.request.offset
        is_before_first = (offset, 0) < self._results_from and not entry.answered
        if is_before_first and self._may_be_deleted(entry.request.timestamp_ms):
            self._expire(offset)
        elif entry.item_count is None:
            self._report.missing += 1
            self._report.list_fault(f"missing: every result of {request_id(self._topic, self._partition, offset)}")
        else:
            self._report.missing += max(0, entry.item_count - len(entry.answered))
            missing = (index for index in range(entry.item_count) if index not in entry.answered)
            for index in itertools.islice(missing, LISTED_FAULTS):  # a false item count may be huge
                self._report.list_fault(f"missing: {self._id((offset, index))}")

    def _id(self, position: ItemPosition) -> str:
        return result_id(self._topic, self._partition, *position)
