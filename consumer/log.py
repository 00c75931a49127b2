"""Structured logs: one line an event, for people or for machines."""

from __future__ import annotations

import logging
import sys

import structlog

from consumer.settings import LogFormat, LogSettings


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
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # The client reports every hiccup that it mends by itself; what it cannot mend reaches us as an error.
    logging.getLogger("aiokafka").setLevel(logging.DEBUG if level == logging.DEBUG else logging.CRITICAL)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
