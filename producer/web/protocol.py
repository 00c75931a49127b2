"""The connection: it limits what uvicorn does not, slow and large headers, readers that take nothing, and the load."""

from __future__ import annotations

import asyncio
import functools
import math
from typing import Any, Final

from starlette.responses import Response
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from producer.web.problems import ProblemError, Refusal
from producer.web.settings import ListenSettings
from producer.web.starting import Starting
from producer.web.whole_request import is_whole_post

_REASONS: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
BUSY_RETRY_AFTER_S: Final = 1
REFUSED_CLOSE_S: Final = 1.0
"""With TLS, a connection ends when the client has agreed. One that was too many is not waited for any longer."""
_FRAMING_BYTES: Final = 4
"""Of a header: the colon, a space, and the end of the line."""


class LimitedProtocol(HttpToolsProtocol):
    """A connection with limits. Owner: the event loop, which calls it.

    `limits` and `starting` are set in a subclass (`limited`), because uvicorn makes the connections itself.
    """

    limits: ListenSettings
    starting: Starting

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._header_bytes = 0
        self._in_headers = True
        """True from the end of a request to the end of the next one's headers."""
        self._renew_at_s = -math.inf
        """When the time of an idle connection begins again, if it is refused until then."""
        self._drops_body = False
        """True after a request is refused by its headers, until the end of its body."""
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Refuse the connection if there are too many; otherwise wait for its first request."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            # At once, whatever it would ask: while it waited for a request it would be one connection more.
            self.connections.discard(self)
            self.starting.note_refused("other")
            self._write(_too_many_connections(), keep=False)
            self._start_header_timer(REFUSED_CLOSE_S)
            return
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_header_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of headers, then let uvicorn parse them."""
        if self.transport.is_closing():
            return
        if self.starting.is_full and self._is_idle and is_whole_post(data):
            self._refuse_unparsed()
            return
        if self._in_headers:
            self._start_header_timer()
            self._header_bytes += len(data)
        super().data_received(data)
        # One read has 256 KiB at most, so this also bounds headers that arrive at once.
        if self._in_headers and self._header_bytes > self.limits.header_bytes:
            self._refuse(self._headers_too_large())

    def on_headers_complete(self) -> None:
        """Start the request, unless its headers are too large, or too many others are under way."""
        own_bytes = len(self.url) + sum(len(name) + len(value) + _FRAMING_BYTES for name, value in self.headers)
        if own_bytes > self.limits.header_bytes:
            self._refuse(self._headers_too_large())
            return
        self._in_headers = False
        self._header_bytes = 0
        self._stop_header_timer()
        # What only reads is answered: health is most interesting now. A pipelined request has its answer to wait for.
        before: RequestResponseCycle | None = self.cycle
        is_first = before is None or before.response_complete
        if self.starting.is_full and is_first and self.parser.get_method() == b"POST":
            self.starting.note_refused("POST")
            self._drops_body = True
            self._start_header_timer(self.limits.body_s)
            self._write(_busy(keep=self.parser.should_keep_alive()), keep=self.parser.should_keep_alive())
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Give a piece of the body to the request, unless the connection is being closed."""
        if not self._drops_body and not self.transport.is_closing():
            super().on_body(body)
            if self.cycle.response_complete:
                # A request that was refused early: the rest of its body is dropped, for a limited time.
                self._start_header_timer(self.limits.body_s)

    def on_message_complete(self) -> None:
        """Begin to count the next request's headers."""
        self._in_headers = True
        self._header_bytes = 0
        self._stop_header_timer()
        if self._drops_body:
            self._drops_body = False
            self.on_response_complete()  # the time of an idle connection begins
        elif not self.transport.is_closing():
            super().on_message_complete()

    def pause_writing(self) -> None:
        """Limit how long the client may take nothing."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """The client takes its answer."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP by a problem document."""
        if not self.transport.is_closing():
            self._refuse(ProblemError(Refusal.MALFORMED_REQUEST, msg))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle.scope["method"] == "POST":
            counted = functools.partial(self.starting.run, app)
            start = functools.partial(super()._start_asgi_task, cycle, counted)
            self.starting.add(lambda: None if cycle.disconnected else start())
        else:
            super()._start_asgi_task(cycle, app)

    @property
    def _is_idle(self) -> bool:
        """True if what arrives next is the beginning of a request, and no answer is due before its own."""
        cycle: RequestResponseCycle | None = self.cycle
        return self._in_headers and not self._header_bytes and (cycle is None or cycle.response_complete)

    def _refuse_unparsed(self) -> None:
        """Refuse a request that has arrived as a whole; the parser does not see it."""
        self.starting.note_refused("POST")
        self._stop_header_timer()
        now_s = self.loop.time()
        if self.timeout_keep_alive_task is None or now_s >= self._renew_at_s:
            # Not at each refusal, because timers are a large part of what it costs.
            self._unset_keepalive_if_required()
            self._renew_at_s = now_s + self.timeout_keep_alive / 2
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._write(_busy(keep=True), keep=True)

    def _headers_too_large(self) -> ProblemError:
        detail = f"The headers have more than {self.limits.header_bytes:,} bytes."
        return ProblemError(Refusal.HEADERS_TOO_LARGE, detail)

    def _refuse(self, problem: ProblemError) -> None:
        self._write(_rendered(problem, keep=False), keep=False)

    def _write(self, answer: bytes, *, keep: bool) -> None:
        self.transport.write(answer)
        if not keep:
            self.transport.close()

    def _start_header_timer(self, limit_s: float | None = None) -> None:
        if self._header_timer is None:
            limit_s = self.limits.header_s if limit_s is None else limit_s
            self._header_timer = self.loop.call_later(limit_s, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


@functools.cache
def _busy(*, keep: bool) -> bytes:
    detail = "Many requests are under way already."
    return _rendered(ProblemError(Refusal.BUSY, detail, retry_after_s=BUSY_RETRY_AFTER_S), keep=keep)


@functools.cache
def _too_many_connections() -> bytes:
    detail = "The server has as many connections as it takes."
    return _rendered(ProblemError(Refusal.BUSY, detail, retry_after_s=BUSY_RETRY_AFTER_S), keep=False)


def _rendered(problem: ProblemError, *, keep: bool) -> bytes:
    """Return a problem document as an HTTP response, after which the connection is kept or closed."""
    if not keep:
        problem.headers["Connection"] = "close"
    response: Response = problem.response()
    status = response.status_code
    head = [b"HTTP/1.1 %d %s\r\n" % (status, _REASONS[status])]
    head += [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([*head, b"\r\n", bytes(response.body)])


def limited(limits: ListenSettings, starting: Starting) -> type[LimitedProtocol]:
    """Return the class of connections with these limits, whose requests are started by `starting`."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits, "starting": starting})
