"""The health server: ``/livez``, ``/readyz``, ``/health`` and ``/metrics``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from consumer.observe.gauges import StateCollector
from consumer.observe.health import Health
from consumer.observe.metrics import Metrics
from consumer.observe.processes import WorkerProcesses
from consumer.settings import HealthSettings
from consumer.shutdown_timeouts import HEALTH_SERVER_TIMEOUT_S
from transport.errors import FatalError

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def serving(health: Health, metrics: Metrics, settings: HealthSettings) -> AsyncIterator[None]:
    """Answer requests for as long as the context lasts.

    Parameters
    ----------
    health
        Asked at each request.
    metrics
        Shown at each scrape, with the gauges that are read from `health`.
    settings
        Where to listen.

    Raises
    ------
    FatalError
        The address is taken, or is not one of this machine.
    """
    metrics.registry.register(StateCollector(health))
    metrics.registry.register(WorkerProcesses(health.workers))
    runner = web.AppRunner(application(health, metrics), access_log=None, shutdown_timeout=HEALTH_SERVER_TIMEOUT_S)
    await runner.setup()
    host, port = settings.host, settings.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise FatalError(
            f"the health server cannot listen on {host}:{port} (DIGITS_HEALTH__HOST, __PORT): {error}"
        ) from error
    log.info("health server listens", address="http://{}:{}".format(*runner.addresses[0][:2]))
    try:
        yield
    finally:
        await runner.cleanup()


def application(health: Health, metrics: Metrics) -> web.Application:
    """Make the application: its routes, without a socket."""

    async def livez(_: web.Request) -> web.Response:
        return _verdict(health.stuck(), "stuck: ")

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(health.not_ready(), "not ready: ")

    async def report(_: web.Request) -> web.Response:
        return web.json_response(health.report())

    async def exposition(_: web.Request) -> web.Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=metrics.exposition(), headers={"Content-Type": content_type})

    made = web.Application()
    made.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/health", report),
            web.get("/metrics", exposition),
        ]
    )
    return made


def _verdict(reasons: list[str], prefix: str) -> web.Response:
    if reasons:
        return web.Response(status=503, text=prefix + "; ".join(reasons) + "\n")
    return web.Response(text="ok\n")
