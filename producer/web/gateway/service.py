"""The gateway: it starts all parts, and each request goes through it.

    submit   room? -> tracked -> sent (without a key by `sender`, with one by `keys`) -> acknowledged
    answers  `tail` of the predictions topic -> `tracked`, for who follows, and `live`
    find     memory, else `search` in the log

Everything is in memory or on the topics. Several gateways run beside each other, and one that starts again goes on
where another has ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from producer.web.gateway import ids
from producer.web.gateway.admission import Admission
from producer.web.gateway.ids import WireId
from producer.web.gateway.interface import (
    Answer,
    BusyError,
    Found,
    KeyReusedError,
    Missed,
    NewRequest,
    State,
    TooLargeError,
    UnavailableError,
    answer_histogram,
)
from producer.web.gateway.keys.index import UsedKey
from producer.web.gateway.keys.once import Keys
from producer.web.gateway.live import LiveReaders
from producer.web.gateway.records import Location, Sendable, read_answer, sendable, wire_id_of
from producer.web.gateway.search import LogSearch
from producer.web.gateway.sender import Buffer, Sender
from producer.web.gateway.settings import GatewaySettings
from producer.web.gateway.tail import Tail
from producer.web.gateway.tasks import Start
from producer.web.gateway.tracked import Tracked, TrackedRequests
from transport.admin.cluster import UNLIMITED_BYTES
from transport.clients import request_deadline
from transport.errors import KafkaRequestError
from transport.record_batch import Unreadable, batch_bytes
from transport.settings.kafka import ClientSettings

log = structlog.get_logger()

RETRY_AFTER_S: Final = 2


class TopicsFound(NamedTuple):
    """What was found at the start."""

    requests: list[TopicPartition]
    predictions: list[TopicPartition]
    limit_bytes: int | None
    """The largest record of the requests topic; None if this user may not read it."""


class KafkaGateway:
    """Implements `interface.Gateway`. Made by `open_gateway`. Owner: the task that opened it."""

    def __init__(
        self,
        settings: ClientSettings,
        gateway: GatewaySettings,
        topics: TopicsFound,
        keys: Keys | KafkaRequestError,
        start: Start,
    ) -> None:
        requests, predictions, limit_bytes = topics
        self._partitions = len(requests)
        self._limit_bytes = limit_bytes
        self.answer_seconds = answer_histogram()
        self._tracked = TrackedRequests(gateway.max_waiting, gateway.max_kept_bytes, self.answer_seconds.observe)
        self._live = LiveReaders(gateway.max_live_readers, gateway.live_queue)
        self._buffer = Buffer(gateway.max_buffered_bytes)
        self._admission = Admission(settings, gateway.max_lag, gateway.max_delay_s)
        self._sender = Sender(settings.kafka, settings.topics.requests, limit_bytes or UNLIMITED_BYTES)
        self._results = Tail(
            settings.kafka, settings.topics.predictions, len(predictions), self._on_result, from_beginning=False
        )
        self._keys = keys
        self._search = LogSearch(settings.kafka, requests, predictions, start, gateway.max_searches)
        self._sent = self._repeated = self._answered = self._refused = 0
        start(self._results.run(), "results")
        start(self._sender.run(), "sender")
        start(self._admission.run(), "admission")

    async def started(self) -> None:
        """Return when results are read: from then on no answer to a request sent here is missed."""
        async with request_deadline("read the results"):
            await self._results.started.wait()

    def new_request_id(self) -> str:
        """Return an id for a request without a key; see `Gateway`."""
        return ids.new_request_id()

    def check_room(self, size_bytes: int = 0) -> None:
        """Refuse a request early; see `Gateway`."""
        try:
            self._admission.check()
            self._buffer.check(size_bytes)
            self._tracked.check_room()
        except BusyError:
            self._refused += 1
            raise

    async def submit(self, request: NewRequest) -> bool:
        """Send a request, once if it has a key; see `Gateway`."""
        wire_id = WireId(ids.tenant_tag(request.tenant), request.request_id, request.once)
        made_ms = None if request.once else ids.made_at_ms(request.request_id)
        record = sendable(request, wire_id, wire_id.partition(self._partitions), made_ms or time.time_ns() // 1_000_000)
        self._check_size(record)
        # A known key is answered also while no requests are taken. `send` finds out what others have just sent.
        if request.once and (used := self._usable_keys().index.get(wire_id)) is not None:
            return await self._repeat(request, wire_id, used)
        self.check_room(len(request.payload))
        tracked = self._tracked.track(wire_id)
        with self._tracked.followed(tracked), self._buffer.holding(len(request.payload)):
            try:
                if request.once:
                    used, is_new = await self._usable_keys().send(record)
                    if not is_new:
                        return await self._repeat(request, wire_id, used)
                    location = used.location
                else:
                    location = await self._sender.send(record)
            except BaseException:
                if tracked.position is None and tracked.followers == 1:  # no other call waits for the same key
                    self._tracked.forget(tracked)
                raise
            self._tracked.accept(tracked, location.position)
        self._sent += 1
        self._admission.note_sent()
        return True

    async def follow(self, request_id: str, tenant: str) -> AsyncGenerator[Answer, None]:
        """Yield the answers of a submitted request; see `Gateway`."""
        tracked = self._tracked.get(_wire_ids(request_id, tenant))
        if tracked is None:
            raise LookupError(request_id)
        with self._tracked.followed(tracked):
            async with contextlib.aclosing(tracked.follow()) as answers:
                async for answer in answers:
                    yield answer

    async def find(self, request_id: str, tenant: str) -> Found | None:
        """Return a request with its answers so far; see `Gateway`."""
        keyed, plain = _wire_ids(request_id, tenant)
        tracked = self._tracked.get((keyed, plain))
        if tracked is not None and tracked.position is not None:
            return tracked.found()
        wire_id = keyed
        used = await self._keys.look_up(keyed) if isinstance(self._keys, Keys) else None
        location = None if used is None else used.location
        if location is None and (made_ms := ids.made_at_ms(request_id)) is not None:
            wire_id = plain
            location = await self._search.locate(plain, made_ms)
        if location is None:
            return None
        answers = await self._search.answers(wire_id, location)
        return Found(request_id, answers, bool(answers) and len(answers) == answers[0].count)

    def live(self, tenant: str) -> AsyncGenerator[Answer | Missed, None]:
        """Yield all answers to a tenant's requests from now on; see `Gateway`."""
        return self._live.read(ids.tenant_tag(tenant))

    def state(self) -> State:
        """Return the state at this moment."""
        failure = self._results.failure or self._sender.failure or self._admission.failure
        keys = self._keys if isinstance(self._keys, Keys) else None
        keys_failure = str(self._keys) if keys is None else keys.failure
        return State(
            ready=failure is None,
            why_not_ready=failure,
            keys_ready=failure is None and keys_failure is None,
            why_keys_not_ready=keys_failure or failure,
            lag=self._admission.lag,
            answered_per_s=self._admission.answered_per_s,
            delay_s=self._admission.delay_s,
            waiting=self._tracked.waiting,
            buffered_bytes=self._buffer.size_bytes,
            kept_bytes=self._tracked.kept_bytes,
            live_readers=self._live.count,
            keys_held=len(keys.index) if keys else 0,
            keys_forgotten=keys.index.forgotten if keys else 0,
            sent=self._sent,
            repeated=self._repeated,
            answered=self._answered,
            refused=self._refused,
            missed=self._live.missed,
            key_transactions=keys.committed if keys else 0,
            key_transactions_failed=keys.failed if keys else 0,
        )

    def _usable_keys(self) -> Keys:
        if isinstance(self._keys, KafkaRequestError):
            raise UnavailableError("requests with a key cannot be taken: there is no topic for keys", str(self._keys))
        return self._keys

    async def _repeat(self, request: NewRequest, wire_id: WireId, used: UsedKey) -> bool:
        """Have the answers of an earlier request with this key, which was sent here or elsewhere, in memory."""
        if not used.is_for(request.payload):
            raise KeyReusedError("the key was used before, for other bytes")
        self._repeated += 1
        tracked = self._tracked.track(wire_id)
        with self._tracked.followed(tracked):
            if tracked.position is None:
                # From here on nothing that is published is missed; what was published earlier is in the log.
                self._tracked.place(tracked, used.location.position)
                await self._fill(tracked, used.location)
        return False

    async def _fill(self, tracked: Tracked, location: Location) -> None:
        try:
            for answer in await self._search.answers(tracked.wire_id, location):
                self._tracked.add(tracked.wire_id, answer)
        except BaseException:
            self._tracked.forget(tracked)  # its followers would wait for what is in the log
            raise

    def _check_size(self, record: Sendable) -> None:
        size_bytes = batch_bytes(None, record.payload, record.headers)
        if self._limit_bytes is not None and size_bytes > self._limit_bytes:
            raise TooLargeError(f"the request has {size_bytes:,} bytes, the topic takes {self._limit_bytes:,}")

    def _on_result(self, record: ConsumerRecord | Unreadable) -> None:
        """Give an answer to those that wait for it. The results of other senders are not parsed."""
        wire_id = wire_id_of(record)
        if wire_id is None:
            return
        is_live = wire_id.tag in self._live
        if not is_live and self._tracked.get([wire_id]) is None:
            return
        if (answer := read_answer(record, wire_id)) is None:
            return
        self._answered += self._tracked.add(wire_id, answer)
        if is_live:
            self._live.add(wire_id.tag, answer)


def _wire_ids(request_id: str, tenant: str) -> tuple[WireId, WireId]:
    """Return what an id that a client knows may be: a key, or an id that a gateway has made."""
    tag = ids.tenant_tag(tenant)
    return WireId(tag, request_id, once=True), WireId(tag, request_id, once=False)
