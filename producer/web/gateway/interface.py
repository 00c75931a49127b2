"""What the HTTP side may ask of the gateway, and what it gets: data, errors, and the protocol itself.

Nothing here knows Kafka, so the HTTP side is tested with a played gateway.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from prometheus_client import Histogram

MAX_ID_CHARACTERS: Final = 255
"""The longest request id, also the longest `Idempotency-Key`: printable ASCII without spaces."""
_ANSWER_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """An image or a zip archive that a client has sent, with the headers of its record."""

    request_id: str
    """If `once`, the client's key; otherwise one that `new_request_id` has made for this request."""
    tenant: str
    """Whose request it is: only this tenant gets its answers. Two tenants may use the same key."""
    payload: bytes
    once: bool = False
    """True if the request id is a key that the client may repeat: then it is sent once for all gateways."""
    content_type: str | None = None
    filename: str | None = None
    traceparent: str | None = None
    correlation_id: str | None = None
    seen: bool = False
    """True if its result is to have the picture that the model saw."""


class Position(msgspec.Struct, frozen=True):
    """The partition and offset of a record in its topic."""

    partition: int
    offset: int


class Answer(msgspec.Struct, frozen=True):
    """The result of one image. It never changes.

    This and `Position` are no dataclasses: archives have thousands of them, and msgspec makes one ten times as fast.
    """

    request_id: str
    """The id that the client knows: its key, or the id that it was given."""
    index: int
    """Which image of the request this is, from 0."""
    count: int
    """Images in the request."""
    request: Position
    """The record of the request in the requests topic."""
    record: Position
    """The record of the result in the predictions topic."""
    published_at_ms: int
    """The timestamp of the result's record, epoch milliseconds."""
    value: bytes
    """The result as published, but with `request_id` as the client knows it: JSON."""

    def __repr__(self) -> str:
        return f"Answer({self.request_id!r}, {self.index}, {self.count}, {self.request}, {self.record})"

    @property
    def result(self) -> dict[str, Any]:
        """The result of `contract.records` as a new dict."""
        result: dict[str, Any] = msgspec.json.decode(self.value)
        return result


@dataclass(frozen=True, slots=True)
class Missed:
    """Takes the place of answers that a slow reader of `Gateway.live` has lost; they are still in the log."""

    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """A request that exists, and its answers so far, by index."""

    request_id: str
    answers: Sequence[Answer]
    complete: bool
    """True if every image of the request has its answer."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of the gateway at one moment."""

    ready: bool
    """True if requests can be sent and results be read."""
    why_not_ready: str | None
    """One sentence for a person; None if it is ready."""
    keys_ready: bool
    """True if requests with a key can be sent."""
    why_keys_not_ready: str | None
    lag: int | None
    """Requests that the service has not answered yet, of all senders; None if it is not known yet."""
    answered_per_s: float
    """Requests that the service answers per second, as of the last seconds."""
    delay_s: float | None
    """How long a new request would wait: lag / rate, 0 without lag; None if it is not known."""
    waiting: int
    """Requests of this gateway that are not complete."""
    buffered_bytes: int
    """Payloads that the brokers have not acknowledged yet."""
    kept_bytes: int
    """Answers in memory."""
    live_readers: int
    keys_held: int
    """Keys in memory, of all gateways."""
    keys_forgotten: int
    """Keys that had no room in memory: if one is repeated, it is sent again."""
    sent: int
    """Requests sent since the start. The following ones count since the start, too."""
    repeated: int
    """Requests with a key that were not sent again."""
    answered: int
    """Answers that have arrived for requests of this gateway."""
    refused: int
    """Requests that got `BusyError`."""
    missed: int
    """Answers that slow live readers have lost."""
    key_transactions: int
    """Transactions with keys that were committed."""
    key_transactions_failed: int
    """Those that were not, or of which it is not known; their requests are sent again, unless they were."""


def answer_histogram() -> Histogram:
    """Make the metric `Gateway.answer_seconds`; the HTTP side adds it to its own."""
    return Histogram(
        "digits_gateway_answer_seconds",
        "From a request's acknowledgement by the brokers to its last answer; of the requests that were sent here.",
        buckets=_ANSWER_BUCKETS_S,
        registry=None,
    )


class GatewayError(Exception):
    """A request cannot be taken; the message is one sentence for the client."""


class BusyError(GatewayError):
    """The request was not sent, because too much is waiting; it may be repeated after a while."""

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class KeyReusedError(GatewayError):
    """The key was used before, for a request with other bytes. Nothing was sent."""


class TooLargeError(GatewayError):
    """The record would be larger than the requests topic takes. Nothing was sent."""


class UnavailableError(GatewayError):
    """Kafka does not answer or refuses, and whether the request was sent is not known.

    If the request has a key, repeating it is safe. The message for the client names no broker; `why` is for the log.
    """

    def __init__(self, reason: str, why: str = "", retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.why = why
        self.retry_after_s = retry_after_s


class Gateway(Protocol):
    """The Kafka side as the HTTP side sees it. Owner: the task that opened it with `open_gateway`."""

    answer_seconds: Histogram
    """From the acknowledgement of a request to its last answer; of the requests that this gateway has sent."""

    def new_request_id(self) -> str:
        """Return an id for a request without a key: a UUID 7, from which `find` learns when it was sent.

        Call it when the body has been read: `find` looks for requests that were sent within half a minute after it.
        """

    def check_room(self, size_bytes: int = 0) -> None:
        """Refuse a request early, for example before its body is read; `submit` does the same again.

        Not for a request with a key: if it was sent before, `submit` does not refuse it.

        Raises
        ------
        BusyError
            Too much is waiting: in the topic, in this gateway, or in its buffer.
        """

    async def submit(self, request: NewRequest) -> bool:
        """Send a request, and return when the brokers have acknowledged it.

        Returns
        -------
        bool
            False if its key was sent before, by any gateway: nothing was sent then, and `follow` yields the answers
            of the first time.

        Raises
        ------
        BusyError, KeyReusedError, TooLargeError
            Nothing was sent.
        UnavailableError
            It is not known whether it was sent.
        """

    def follow(self, request_id: str, tenant: str) -> AsyncGenerator[Answer, None]:
        """Yield the answers of a submitted request by index, as they arrive; end when it is complete.

        The caller sets a time limit, and closes the iterator (`contextlib.aclosing`). Several callers may follow one
        request.

        Raises
        ------
        LookupError
            This gateway knows no such request: it was not submitted here, or long ago. `find` looks in the log.
        UnavailableError
            Earlier answers had to be read from the log, and Kafka does not answer.
        """

    async def find(self, request_id: str, tenant: str) -> Found | None:
        """Return a request of this tenant with its answers so far, from memory or else from the log.

        Returns
        -------
        Found or None
            None if there is no such request, or it is no longer in the log.

        Raises
        ------
        BusyError
            Too many others read the log at this moment.
        UnavailableError
            Kafka does not answer, or the log had to be read for too long.
        """

    def live(self, tenant: str) -> AsyncGenerator[Answer | Missed, None]:
        """Yield all answers to a tenant's requests as they arrive, of all gateways, until the caller closes it.

        A reader that is slower than the answers loses the oldest; `Missed` then says how many.

        Raises
        ------
        BusyError
            There are too many live readers.
        """

    def state(self) -> State:
        """Return the state at this moment; it waits for nothing."""
