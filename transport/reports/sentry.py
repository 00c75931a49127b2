"""Sends events to Sentry from a thread of its own. It needs ``digitstream[sentry]``; only `opening` imports it.

The client is one object: nothing is patched or hooked in, as `sentry_sdk.init` would do. It has a bounded queue, and
drops what does not fit.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import structlog
from sentry_sdk import Client
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint

from release import revision, version
from transport.rate_limiter import RateLimiter
from transport.reports.events import Level, event_of
from transport.reports.reporter import NOWHERE, Reporter, Where
from transport.settings.reports import ReportSettings

QUEUED_EVENTS: Final = 50
REPORTS_PER_S: Final = 0.2
REPORTS_AT_ONCE: Final = 20
"""What happens more often has one cause, or comes from one sender; metrics count it."""
OWN_PACKAGES: Final = ("broker", "consumer", "contract", "engine", "models", "producer", "release", "transport")

log = structlog.get_logger()


class LoggingTransport(HttpTransport):
    """Logs what is dropped: the SDK itself says nothing. The address is not logged, because it has a key."""

    def on_dropped_event(self, reason: str) -> None:
        """Log why an event is dropped: ``network``, ``full_queue``, or the status of an answer."""
        log.warning("report not sent", why=reason, action="dropped")


def open_client(settings: ReportSettings, dsn: str) -> Client:
    """Make the client. It connects when the first event is sent."""

    def sampled(event: Event, _hint: Hint) -> float:
        return 1.0 if event.get("level") == "fatal" else settings.sentry_sample_rate

    options: dict[str, Any] = {  # all that the SDK would otherwise read from the variables SENTRY_…
        "dsn": dsn,
        "release": f"digitstream@{version()}",
        "dist": revision() or None,
        "environment": settings.sentry_environment,
        "debug": False,
        "spotlight": False,
    }
    return Client(
        **options,
        error_sampler=sampled,
        transport=LoggingTransport,
        transport_queue_size=QUEUED_EVENTS,
        in_app_include=list(OWN_PACKAGES),
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        send_client_reports=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
    )


class SentryReporter(Reporter):
    """Sends reports. Owner: `reporting`; any thread may report."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._limiter = RateLimiter(REPORTS_PER_S, REPORTS_AT_ONCE)
        self._limiting = threading.Lock()

    def error(self, what: str, where: Where = NOWHERE, *, error: BaseException | None = None, detail: str = "") -> None:
        """Report an error, unless there have been too many."""
        with self._limiting:
            is_sent = self._limiter.try_acquire()
        if is_sent:
            self._capture(what, "error", where=where, error=error, detail=detail)

    def fatal(self, error: Exception) -> None:
        """Report what ends the program; no limit applies."""
        self._capture("fatal end", "fatal", where=NOWHERE, error=error, detail="")

    def _capture(self, what: str, level: Level, *, where: Where, error: BaseException | None, detail: str) -> None:
        try:
            self._client.capture_event(
                event_of(what, level, where=where, error=error, detail=detail, options=self._client.options)
            )
        except Exception as failed:  # noqa: BLE001  # a report must not become a fault itself
            log.warning("report not sent", why=type(failed).__name__, action="dropped")
