"""Reports unexpected errors and fatal ends to Sentry, where ``DIGITS_SENTRY_DSN`` is set. Read it first.

report    from any thread: an event is built and queued; above a rate, none is built
send      in a thread of the SDK, which drops events if the queue is full or Sentry does not answer
end       what is still queued has `REPORT_FLUSH_TIMEOUT_S`

The service and the gateway open it; workers do not, since they read data of untrusted senders: the service reports for
them. It needs ``digitstream[sentry]``, which is not imported if reports are off.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

import structlog

from transport.errors import FatalError
from transport.reports.reporter import Reporter
from transport.settings.reports import ReportSettings

REPORT_FLUSH_TIMEOUT_S: Final = 2.0
"""For sending the last reports. If Sentry does not answer, they are dropped."""
LOGGERS: Final = ("asyncio", "aiohttp.server", "uvicorn.error")
"""Of libraries that catch our errors and log them: what no task awaits, and what a request's handler raises."""

log = structlog.get_logger()


class LoggedErrors(logging.Handler):
    """Reports the exceptions that libraries log. The texts of the log stay here: they may show values."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.ERROR)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        """Report the exception of a log record; a record without one is not reported."""
        if record.exc_info and record.exc_info[1] is not None:
            self._reporter.error("unexpected error", error=record.exc_info[1], detail=record.name)


@contextlib.contextmanager
def reporting(settings: ReportSettings) -> Iterator[Reporter]:
    """Report for as long as the context lasts. Close it after the event loop: it waits for the last reports.

    Raises
    ------
    FatalError
        The packages are not installed.
    """
    if settings.sentry_dsn is None:
        yield Reporter()
        return
    try:
        from transport.reports.sentry import SentryReporter, open_client  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise FatalError(
            f"DIGITS_SENTRY_DSN is set, but Sentry's client is not installed ({error}): "
            "pip install 'digitstream[sentry]'"
        ) from error
    client = open_client(settings, settings.sentry_dsn.get_secret_value())
    reporter = SentryReporter(client)
    handler = LoggedErrors(reporter)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    log.info("error reports enabled", environment=settings.sentry_environment, sample_rate=settings.sentry_sample_rate)
    try:
        yield reporter
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        client.close(REPORT_FLUSH_TIMEOUT_S)
