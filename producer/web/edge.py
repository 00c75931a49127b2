"""Around every request: security headers, metrics, a line of the log for each refusal, and no stack trace outside.

An unexpected error is logged with its traceback, and reported with the id of the request: nothing else that a client
sends belongs in a report.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.web.gateway.interface import BusyError, GatewayError, KeyReusedError, TooLargeError, UnavailableError
from producer.web.metrics import Metrics
from producer.web.problems import ProblemError, Refusal
from release.printable import printable
from transport.reports.reporter import Reporter

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of each answer that does not set them itself."""
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
HSTS: Final = b"max-age=31536000"
MOST_LOGGED_CHARACTERS: Final = 200
log = structlog.get_logger()


class Edge:
    """The outermost layer of the application. Owner: the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, reporter: Reporter) -> None:
        self._app = app
        self._metrics = metrics
        self._reporter = reporter
        self._busy = metrics.refusals.labels(Refusal.BUSY.value)
        status = int(Refusal.BUSY.status)
        self._early = {method: metrics.requests.labels("other", method, status) for method in ("POST", "other")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                own = {name for name, _ in headers}
                headers += [header for header in _RAW_HEADERS if header[0] not in own]
                if scope["scheme"] == "https" and b"strict-transport-security" not in own:
                    headers.append((b"strict-transport-security", HSTS))
            await send(message)

        with self._metrics.under_way.track_inprogress():
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception as error:  # the client has got its 500; `HttpServer` would log and report it once more
                request_id = scope.get("state", {}).get("request_id")
                where = {} if request_id is None else {"request_id": request_id}
                log.exception("request failed", method=_short(scope["method"]), path=_short(scope["path"]), **where)
                self._reporter.error("unexpected error", where, error=error, detail="request")
            finally:
                path = getattr(scope.get("route"), "path", "other")
                self._metrics.note(path, _known(scope["method"]), status, time.perf_counter() - begun_s)

    def count_early_refusal(self, method: str) -> None:
        """Count what the connection has refused by itself: it does not come here."""
        self._busy.inc()
        self._early[method].inc()


def _known(method: str) -> str:
    """Return the method; a client must not be able to make new time series."""
    return method if method in {"GET", "HEAD", "POST", "OPTIONS"} else "other"


class Refusals:
    """Turns errors into problem documents, and logs and counts them. Owner: the application."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def problem(self, request: Request, error: Exception) -> Response:
        """Answer a refusal of our own."""
        assert isinstance(error, ProblemError)  # noqa: S101  # registered for it
        return self._refuse(request, error)

    async def gateway(self, request: Request, error: Exception) -> Response:
        """Answer a refusal of the gateway."""
        assert isinstance(error, GatewayError)  # noqa: S101  # registered for it
        return self._refuse(request, _of_gateway(error), why=getattr(error, "why", ""))

    async def http(self, request: Request, error: Exception) -> Response:
        """Answer a path or method that does not exist."""
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for it
        refusal = {
            HTTPStatus.NOT_FOUND: Refusal.UNKNOWN_PATH,
            HTTPStatus.METHOD_NOT_ALLOWED: Refusal.WRONG_METHOD,
        }.get(HTTPStatus(error.status_code), Refusal.MALFORMED_REQUEST)
        return self._refuse(request, ProblemError(refusal, refusal.sentence, headers=error.headers))

    async def unexpected(self, request: Request, error: Exception) -> Response:
        """Answer an error that nothing else has handled. It is raised again, and `Edge` logs and reports it."""
        del error
        return self._refuse(request, ProblemError(Refusal.UNEXPECTED, "The error is in the log of the server."))

    def _refuse(self, request: Request, problem: ProblemError, why: str = "") -> Response:
        self._metrics.refusals.labels(problem.refusal.value).inc()
        log.warning(
            "request refused",
            code=problem.refusal.value,
            status=int(problem.refusal.status),
            client=request.client.host if request.client else None,
            caller=_short(getattr(request.state, "caller", "unknown")),
            method=_short(request.method),
            path=_short(request.url.path),
            why=why or problem.detail,
        )
        return problem.response()


def _of_gateway(error: GatewayError) -> ProblemError:
    detail = str(error)
    if isinstance(error, BusyError):
        return ProblemError(Refusal.BUSY, detail, retry_after_s=error.retry_after_s)
    if isinstance(error, UnavailableError):
        return ProblemError(Refusal.UNAVAILABLE, detail, retry_after_s=error.retry_after_s)
    if isinstance(error, KeyReusedError):
        return ProblemError(Refusal.KEY_REUSED, detail)
    if isinstance(error, TooLargeError):
        return ProblemError(Refusal.BODY_TOO_LARGE, detail)
    return ProblemError(Refusal.UNEXPECTED, "The error is in the log of the server.")


def _short(text: str) -> str:
    """Return the beginning of a text from outside, without control characters: they would forge lines of the log."""
    return printable(text[:MOST_LOGGED_CHARACTERS])
