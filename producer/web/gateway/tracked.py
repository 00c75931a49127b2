"""The requests that this gateway follows, with their answers, in bounded memory.

A request is forgotten when others need its memory: first the oldest without followers. If all are followed, the one
with the most answers is forgotten, and its followers get an error; its answers are still in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import Final

from producer.web.gateway.ids import WireId
from producer.web.gateway.interface import Answer, BusyError, Found, Position

REQUEST_BYTES: Final = 1024
"""What a request without answers takes, about."""
ANSWER_BYTES: Final = 400
"""What an answer takes beside its value, about."""

RETRY_AFTER_S: Final = 2


class Tracked:
    """One request and its answers. Owner: `TrackedRequests`."""

    def __init__(self, wire_id: WireId) -> None:
        self.wire_id = wire_id
        self.position: Position | None = None
        """Where the request's record is. Until it is known, all answers with the id are kept; afterwards only its
        own, because an operator may replay a request under the same id."""
        self.answers: dict[int, Answer] = {}
        self.accepted_at_s: float | None = None
        """When the brokers acknowledged it, if this gateway has sent it."""
        self.followers = 0
        self.is_forgotten = False
        self.size_bytes = REQUEST_BYTES
        self._early: list[Answer] = []
        self._changed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """True if every image has its answer."""
        return bool(self.answers) and len(self.answers) == next(iter(self.answers.values())).count

    def found(self) -> Found:
        """Return the answers so far."""
        return Found(self.wire_id.request_id, [self.answers[each] for each in sorted(self.answers)], self.is_complete)

    def place(self, position: Position) -> None:
        """Note where the request's record is."""
        self.position = position
        early, self._early = self._early, []
        for answer in early:
            self.size_bytes -= ANSWER_BYTES + len(answer.value)
            self.add(answer)

    def add(self, answer: Answer) -> int:
        """Add an answer, once; return how many bytes it takes, 0 if it is not kept."""
        if self.position is None:
            self._early.append(answer)
        elif answer.request != self.position or answer.index in self.answers:
            return 0
        else:
            self.answers[answer.index] = answer
            self.changed()
        size_bytes = ANSWER_BYTES + len(answer.value)
        self.size_bytes += size_bytes
        return size_bytes

    def changed(self) -> None:
        """Wake all followers."""
        self._changed.set()

    async def follow(self) -> AsyncGenerator[Answer, None]:
        """Yield the answers by index as they arrive, until all are there.

        Raises
        ------
        LookupError
            The request was forgotten.
        """
        following = 0
        while True:
            self._changed.clear()  # other followers that wait are awake already
            while (answer := self.answers.get(following)) is not None:
                yield answer
                following += 1
            if self.is_forgotten:
                raise LookupError(self.wire_id.request_id)
            if self.is_complete and following == len(self.answers):
                return
            await self._changed.wait()


class TrackedRequests:
    """All requests that this gateway follows. Owner: the gateway's event loop.

    Parameters
    ----------
    max_requests
        Requests in memory, complete or not.
    max_bytes
        Of all answers in memory.
    on_answered
        Is given how long a request has waited that was sent here, in seconds, when it is complete.
    """

    def __init__(
        self, max_requests: int, max_bytes: int, on_answered: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        self._on_answered = on_answered
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests: dict[WireId, Tracked] = {}
        self._waiting: set[WireId] = set()
        self._followed: set[WireId] = set()
        self.kept_bytes = 0

    @property
    def waiting(self) -> int:
        """Requests that are not complete."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Refuse one more request if one that is followed would have to be forgotten for it.

        Raises
        ------
        BusyError
            Too many requests wait for their answers.
        """
        if len(self._followed) >= self._max_requests or self._followed_bytes() >= self._max_bytes:
            raise BusyError("too many requests wait for their answers", RETRY_AFTER_S)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._requests.values())

    def get(self, wire_ids: Iterable[WireId]) -> Tracked | None:
        """Return the first of these requests that is tracked."""
        for each in wire_ids:
            if (found := self._requests.get(each)) is not None:
                return found
        return None

    def track(self, wire_id: WireId) -> Tracked:
        """Return the request with this id; from now on its answers are kept."""
        if (tracked := self._requests.get(wire_id)) is None:
            tracked = self._requests[wire_id] = Tracked(wire_id)
            self._waiting.add(wire_id)
            self.kept_bytes += tracked.size_bytes
            self._make_room(tracked)
        return tracked

    def add(self, wire_id: WireId, answer: Answer) -> bool:
        """Keep an answer if its request is tracked, and return whether it is new."""
        if (tracked := self._requests.get(wire_id)) is None:
            return False
        added_bytes = tracked.add(answer)
        self.kept_bytes += added_bytes
        self._note(tracked)
        self._make_room(tracked)
        return added_bytes > 0

    def accept(self, tracked: Tracked, position: Position) -> None:
        """Note where the record of a request is that was just sent."""
        tracked.accepted_at_s = time.monotonic()
        self.place(tracked, position)

    def place(self, tracked: Tracked, position: Position) -> None:
        """Note where the record of a request is."""
        before_bytes = tracked.size_bytes
        tracked.place(position)
        if not tracked.is_forgotten:
            self.kept_bytes += tracked.size_bytes - before_bytes
            self._note(tracked)

    def forget(self, tracked: Tracked) -> None:
        """Forget a request; its followers get a `LookupError`."""
        if self._requests.get(tracked.wire_id) is not tracked:
            return
        del self._requests[tracked.wire_id]
        self._waiting.discard(tracked.wire_id)
        self._followed.discard(tracked.wire_id)
        self.kept_bytes -= tracked.size_bytes
        tracked.is_forgotten = True
        tracked.answers.clear()
        tracked.changed()

    @contextlib.contextmanager
    def followed(self, tracked: Tracked) -> Iterator[None]:
        """Keep a request as long as possible while the body runs."""
        tracked.followers += 1
        if not tracked.is_forgotten:
            self._followed.add(tracked.wire_id)
        try:
            yield
        finally:
            tracked.followers -= 1
            if not tracked.followers:
                self._followed.discard(tracked.wire_id)

    def _note(self, tracked: Tracked) -> None:
        if tracked.is_complete:
            self._waiting.discard(tracked.wire_id)
            if tracked.accepted_at_s is not None:
                self._on_answered(time.monotonic() - tracked.accepted_at_s)
                tracked.accepted_at_s = None

    def _followed_bytes(self) -> int:
        return sum(self._requests[each].size_bytes for each in self._followed) if self._is_full() else 0

    def _is_full(self) -> bool:
        return self.kept_bytes > self._max_bytes or len(self._requests) > self._max_requests

    def _make_room(self, newest: Tracked) -> None:
        while self._is_full():
            unfollowed = (each for each in self if not each.followers and each is not newest)
            if (oldest := next(unfollowed, None)) is None:
                break
            self.forget(oldest)
        while self.kept_bytes > self._max_bytes:
            self.forget(max(self, key=lambda each: each.size_bytes))
