"""Structured logs of the service and of the gateway: one line per event, for people or as JSON for programs."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import Any, Final

import structlog

from release.printable import printable
from transport.errors import KafkaError
from transport.settings.logs import LogFormat, LogSettings

CLOSED: Final = "the handler is closed"
"""How uvloop ends its complaint about a connection that is closed."""


def configure(settings: LogSettings) -> None:
    """Send the events of a program and of its libraries through one formatter to standard error."""
    level = getattr(logging, settings.level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # `contract` uses the standard library's logging, since producers do not configure structlog.
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=("why", "action", "files"))],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _escape, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # The client logs every problem that it solves by itself. A problem that it cannot solve raises an error here.
    logging.getLogger("aiokafka").setLevel(logging.DEBUG if level == logging.DEBUG else logging.CRITICAL)
    # At level debug it logs everything that it sends, including passwords.
    logging.getLogger("aiokafka.conn").setLevel(logging.CRITICAL)
    # At level debug it logs requests with their signatures.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _escape(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters in values that come from a request, such as its id, so that a terminal ignores them."""
    return {
        name: printable(value, keep="\n" if name == "exception" else "") if isinstance(value, str) else value
        for name, value in event.items()
    }


def log_unawaited_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of futures that no task awaits any more: those of a Kafka client at level debug, others as errors.

    A lost lane drops its producer during a transaction. The futures of the producer then fail, and no task awaits them.
    The client also raises a KeyError, in a callback or in a repeated request, for batches that it has dropped before.
    The lane has already logged the failure itself.

    The loop's own TLS raises a RuntimeError if it wants to answer what has arrived on a connection that was closed
    meanwhile, by us or because the attempt to connect was cancelled:
    test_what_tls_raises_on_a_closed_connection_is_no_error_of_the_service.
    """
    error = context.get("exception")
    if isinstance(error, KafkaError) or _raised_in(error, "aiokafka.producer") or _is_after_closing(context):
        logging.getLogger("aiokafka").debug("error not awaited: %s", context["message"], exc_info=error)
    else:
        loop.default_exception_handler(context)


def _is_after_closing(context: dict[str, Any]) -> bool:
    """Return whether uvloop complains that a connection is closed, which it is.

    ``transport.is_closing()`` does not show it: it is false if uvloop has closed the connection of a cancelled attempt.
    """
    error = context.get("exception")
    return isinstance(error, RuntimeError) and str(error).endswith(CLOSED)


def _raised_in(error: BaseException | None, package: str) -> bool:
    """Return whether the innermost frame of an error's traceback belongs to a package."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__ if error else None)]
    return bool(frames) and frames[-1].f_globals["__name__"].startswith(f"{package}.")
