"""Structured logs: one line an event, for people or for machines."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import Any

import structlog

from consumer.settings import LogFormat, LogSettings
from engine.errors import printable
from transport.errors import KafkaError


def configure(settings: LogSettings) -> None:
    """Send our own events and those of the libraries through one formatter to standard error."""
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
            # `contract` logs by Python's own means, since producers do not configure structlog.
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=("why", "action", "files"))],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _escape, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # The client logs every problem that it then solves by itself; one that it cannot solve reaches us as an error.
    logging.getLogger("aiokafka").setLevel(logging.DEBUG if level == logging.DEBUG else logging.CRITICAL)
    # At level debug it would log all that it sends, with passwords.
    logging.getLogger("aiokafka.conn").setLevel(logging.CRITICAL)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # as above: what it signs, and with which signature
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _escape(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters in values that a request brings, such as its id: a terminal would obey them."""
    return {
        name: printable(value, keep="\n" if name == "exception" else "") if isinstance(value, str) else value
        for name, value in event.items()
    }


def pass_over_leftovers(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle errors that no task awaits any more; those of a Kafka client are logged at level debug only.

    A lane that is lost closes its producer while requests are open. The producer's own futures then fail, and its
    accounts miss batches that it has given up (a KeyError, in a callback or in a request that is repeated). The lane
    has logged the failure already.
    """
    error = context.get("exception")
    if isinstance(error, KafkaError) or _raised_in(error, "aiokafka.producer"):
        logging.getLogger("aiokafka").debug("not awaited: %s", context["message"], exc_info=error)
    else:
        loop.default_exception_handler(context)


def _raised_in(error: BaseException | None, package: str) -> bool:
    """Return True if the innermost frame of an error's traceback is one of a package."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__ if error else None)]
    return bool(frames) and frames[-1].f_globals["__name__"].startswith(f"{package}.")
