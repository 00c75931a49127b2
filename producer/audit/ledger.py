"""The books of one partition of requests: what was asked, what was answered, what is still open.

The three topics are entered in the order of their logs; requests up to an offset before the results of
that offset. An entry stays only as long as something about it is open, so memory grows with the gaps.

What retention has deleted is not missing. It deletes from the start of a log, so what may be gone (*expired*) is
answers before the first one that is left of this partition. And no answer is older than its request: one whose request
is newer than the oldest record that is left of the log was never deleted, and has to be there. The second rule matters
where the results that are missing are just those before the first one that is left, or where none is left at all,
while other partitions of requests have theirs in the same log.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Final

from contract.records import request_id, result_id
from contract.topics import CLOCK_TOLERANCE_MS
from producer.audit.contradictions import Answered, Asked, Kept, of_letter, of_result
from producer.audit.report import OFFENDERS, Report

NEVER: Final = (1 << 63, 0)
"""Behind every item."""

ItemPlace = tuple[int, int]
"""Offset of the request and index of the item: the order in which results have to stand."""


@dataclass(slots=True)
class _Open:
    """A request that is not wholly answered yet."""

    asked: Asked
    count: int | None = None
    """Images in it, once a result has told."""
    seen: set[int] = field(default_factory=set)


class Ledger:
    """One partition of requests. Owner: the auditing task.

    Parameters
    ----------
    report
        What it adds to.
    topic, partition
        Of the requests.
    first
        Where the log of the requests starts now; what lay before is gone.
    results_cut, letters_cut
        True if retention has deleted results, or dead letters, from the start of the partition they lie in.
    """

    def __init__(
        self, report: Report, *, topic: str, partition: int, first: int, results_cut: bool, letters_cut: bool
    ) -> None:
        self._report = report
        self._topic = topic
        self._partition = partition
        self._first = first
        # Before these, a result or letter that is not there may have been deleted.
        self._results_from: ItemPlace = NEVER if results_cut else (0, 0)
        self._letters_from: ItemPlace = NEVER if letters_cut else (0, 0)
        # How old the oldest is that is left of either. Until that is known, any answer may have been deleted.
        self._results_since_ms = self._letters_since_ms = math.inf
        self._open: dict[int, _Open] = {}
        self._newest: ItemPlace = (-1, 0)
        self._expired_offset = -1
        self._failed: dict[ItemPlace, Answered] = {}
        self._letters: dict[ItemPlace, Kept] = {}
        self._results_over = False
        self.newest_letter: ItemPlace = (-1, 0)
        """Place of the latest dead letter entered."""

    def results_begin(self, timestamp_ms: int) -> None:
        """Take note how old the oldest result is that is left in the partition they lie in, of whatever request."""
        self._results_since_ms = timestamp_ms

    def letters_begin(self, timestamp_ms: int) -> None:
        """Take note of the same for the dead letters."""
        self._letters_since_ms = timestamp_ms

    def request(self, asked: Asked) -> None:
        """Enter a request below the committed offset."""
        self._report.requests += 1
        if self._results_from == NEVER:
            # Requests are entered up to that of the first result that is left: only the last of them can be its own.
            self._expire_before(asked.offset)
        self._open[asked.offset] = _Open(asked)

    def result(self, answered: Answered) -> None:
        """Enter a result of a request below the committed offset."""
        self._report.results += 1
        place = (answered.result.source.offset, answered.result.item.index)
        if self._results_from == NEVER:
            self._start_results_at(place)
        if place[0] < self._first:
            self._expire(place[0])
        elif place[0] not in self._open:
            self._surplus(place)
        elif place[1] in self._open[place[0]].seen:
            self._duplicate(place)
        else:
            self._answer(self._open[place[0]], answered, place)

    def letter(self, kept: Kept) -> None:
        """Enter a dead letter of a request below the committed offset."""
        self._report.dead_letters += 1
        place = (kept.letter.origin_offset, kept.letter.item_index)
        self.newest_letter = max(self.newest_letter, place)
        if self._letters_from == NEVER:
            self._letters_from = place
        if place[0] < self._first or self._has_lost_result(kept):
            return  # its result cannot be judged, so neither can it
        if place < self._letters_from:
            self._report.contradicts(f"dead letter {kept.letter.result_id} stands behind one of a later item")
            return
        if kept.has_value == (kept.letter.value_left_out is not None):
            self._report.contradicts(f"dead letter {kept.letter.result_id} has a value, or else no reason to have none")
        if place in self._failed:
            self._compare(self._failed.pop(place), kept)
        elif place in self._letters:
            self._report.contradicts(f"dead letter {kept.letter.result_id} is there twice")
        else:
            self._letters[place] = kept

    def waits_for_letter(self, place: ItemPlace) -> bool:
        """Say whether a failed result has been entered whose dead letter has not."""
        return place in self._failed

    def letters_drawn(self, place: ItemPlace) -> None:
        """Take note that every dead letter up to a place has been entered: what is not among them will not come."""
        if place in self._failed and self._may_lack_letter(self._failed[place], place):
            del self._failed[place]

    def results_drawn(self) -> None:
        """Take note that every result has been entered."""
        self._results_over = True

    def close(self) -> None:
        """Draw the balance of what is still open; all three logs have been entered to their ends."""
        self._results_over = True
        for entry in self._open.values():
            self._miss(entry)
        for place, answered in self._failed.items():
            if not self._may_lack_letter(answered, place):
                self._report.contradicts(f"failed result {answered.result.result_id} has no dead letter")
        for kept in self._letters.values():
            if not self._has_lost_result(kept):
                self._report.contradicts(f"dead letter {kept.letter.result_id} has no failed result of its own")

    def _start_results_at(self, place: ItemPlace) -> None:
        """Take the first result that is left: whatever should stand before it may have been deleted."""
        self._results_from = place
        self._expire_before(place[0])
        self._letters = {each: kept for each, kept in self._letters.items() if not self._has_lost_result(kept)}
        if place[1] > 0 and place[0] in self._open and self._may_be_deleted(self._open[place[0]].asked.timestamp_ms):
            self._expire(place[0])
            self._open[place[0]].seen.update(range(place[1]))

    def _may_be_deleted(self, timestamp_ms: int) -> bool:
        """Say whether a request is old enough for its results to have been deleted."""
        return timestamp_ms <= self._results_since_ms + CLOCK_TOLERANCE_MS

    def _has_lost_result(self, kept: Kept) -> bool:
        """Say whether the result of a dead letter may have been deleted; while none has come yet, that is open."""
        place = (kept.letter.origin_offset, kept.letter.item_index)
        is_known = self._results_from != NEVER or self._results_over
        return is_known and place < self._results_from and self._may_be_deleted(kept.letter.origin_timestamp_ms)

    def _may_lack_letter(self, failed: Answered, place: ItemPlace) -> bool:
        """Say whether the dead letter of a failed result may have been deleted."""
        is_old = failed.result.source.timestamp_ms <= self._letters_since_ms + CLOCK_TOLERANCE_MS
        return is_old and place < self._letters_from

    def _expire_before(self, offset: int) -> None:
        deletable = [
            each
            for each, entry in self._open.items()
            if each < offset and self._may_be_deleted(entry.asked.timestamp_ms)
        ]
        for each in deletable:
            self._expire(each)
            del self._open[each]

    def _expire(self, offset: int) -> None:
        if offset != self._expired_offset:  # once for all items of a request
            self._report.expired += 1
            self._expired_offset = offset

    def _surplus(self, place: ItemPlace) -> None:
        """Judge a result whose request is not open: answered in full before, or never asked."""
        if place > self._newest:
            self._report.contradicts(f"result {self._id(place)} answers no committed request")
        else:
            self._duplicate(place)

    def _duplicate(self, place: ItemPlace) -> None:
        self._report.duplicated += 1
        self._report.tell(f"duplicated: {self._id(place)}")

    def _answer(self, entry: _Open, answered: Answered, place: ItemPlace) -> None:
        if place < self._newest:
            self._report.out_of_order += 1
            self._report.tell(f"out of order: {self._id(place)} stands behind {self._id(self._newest)}")
        self._newest = max(self._newest, place)
        entry.count = entry.count or answered.result.item.count
        for name in of_result(answered, entry.asked, entry.count, request_id(self._topic, self._partition, place[0])):
            self._report.contradicts(f"result {self._id(place)} has another {name}")
        entry.seen.add(place[1])
        if len(entry.seen) >= entry.count:
            del self._open[place[0]]
        if answered.result.error is not None:
            kept = self._letters.pop(place, None)
            if kept is None:
                self._failed[place] = answered
            else:
                self._compare(answered, kept)

    def _compare(self, answered: Answered, kept: Kept) -> None:
        for name in of_letter(kept, answered):
            self._report.contradicts(f"dead letter {kept.letter.result_id} has another {name} than its result")

    def _miss(self, entry: _Open) -> None:
        offset = entry.asked.offset
        is_before_the_first = (offset, 0) < self._results_from and not entry.seen
        if is_before_the_first and self._may_be_deleted(entry.asked.timestamp_ms):
            self._expire(offset)
        elif entry.count is None:
            self._report.missing += 1
            self._report.tell(f"missing: every result of {request_id(self._topic, self._partition, offset)}")
        else:
            self._report.missing += max(0, entry.count - len(entry.seen))
            holes = (index for index in range(entry.count) if index not in entry.seen)
            for index in itertools.islice(holes, OFFENDERS):  # a falsified count may be huge
                self._report.tell(f"missing: {self._id((offset, index))}")

    def _id(self, place: ItemPlace) -> str:
        return result_id(self._topic, self._partition, *place)
