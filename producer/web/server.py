"""Runs the server: it opens the gateway, listens, and ends in order after SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from producer.errors import UsageError
from producer.web.access.guard import Guard
from producer.web.access.keys import KeyFileError
from producer.web.app import create_app
from producer.web.gateway.interface import Gateway
from producer.web.page.files import HEADERS, page_files
from producer.web.protocol import limited
from producer.web.settings import ServeSettings, WebSettings
from producer.web.starting import Starting
from transport.logs import log_unawaited_errors
from transport.reports.reporter import Reporter

BACKLOG: Final = 1024
STOPPED_BY: Final = (signal.SIGTERM, signal.SIGINT)
log = structlog.get_logger()
OpenGateway = Callable[[ServeSettings], contextlib.AbstractAsyncContextManager[Gateway]]


class HttpServer(uvicorn.Server):
    """A server that ends its streams before it waits for its requests."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, on_start: Callable[[HttpServer], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then report where."""
        await super().startup(sockets)
        if self.started:
            self._on_start(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait for the requests."""
        self._stopping.set()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Ask the server to end, as SIGTERM does; a second time, to end without waiting for requests."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End after SIGTERM or SIGINT, with exit code 0: uvicorn would raise the signal again at the end."""
        loop = asyncio.get_running_loop()
        for number in STOPPED_BY:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in STOPPED_BY:
                loop.remove_signal_handler(number)


def log_address(server: HttpServer) -> None:
    """Log where the server listens."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    log.info("server listens", address=f"{'https' if server.config.is_ssl else 'http'}://{host}:{port}")


async def serve(
    settings: ServeSettings,
    open_gateway: OpenGateway,
    reporter: Reporter,
    on_start: Callable[[HttpServer], None] = log_address,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    settings
        Its settings.
    open_gateway
        Opens the Kafka side.
    reporter
        Takes unexpected errors.
    on_start
        Called when the server listens.

    Raises
    ------
    UsageError
        The file of keys cannot be used, or the address is taken.
    """
    web = settings.web
    asyncio.get_running_loop().set_exception_handler(log_unawaited_errors)
    guard = Guard(web.access)
    try:
        guard.load()
    except KeyFileError as error:
        raise UsageError(f"DIGITS_WEB__ACCESS__KEYS_FILE={str(web.access.keys_file)!r}: {error}") from error
    stopping = asyncio.Event()
    async with open_gateway(settings) as gateway, _background(guard):
        app = create_app(gateway, guard, web, stopping, reporter=reporter, page=page_files(), page_headers=HEADERS)
        starting = Starting(web.listen.at_once, app.count_early_refusal)
        server = HttpServer(_config(app, web, starting), stopping, on_start)
        if not web.access.configured:
            log.warning("access is off", action="accepting requests without a key", address=web.listen.host)
        try:
            await server.serve()
        except SystemExit as error:  # uvicorn has logged why it cannot listen
            raise UsageError(f"the server cannot listen on {web.listen.host}:{web.listen.port}") from error


@contextlib.asynccontextmanager
async def _background(guard: Guard) -> AsyncIterator[None]:
    task = asyncio.create_task(guard.run(), name="follow API keys")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _config(app: ASGIApp, web: WebSettings, starting: Starting) -> uvicorn.Config:
    listen = web.listen
    return uvicorn.Config(
        app,
        host=listen.host,
        port=listen.port,
        http=limited(listen, starting),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,  # our own lines say that it listens and ends
        server_header=False,
        proxy_headers=False,  # a client could choose the address that the log shows
        backlog=BACKLOG,
        timeout_keep_alive=listen.keep_alive_s,
        timeout_graceful_shutdown=listen.stop_s,
        ssl_certfile=listen.cert_file,
        ssl_keyfile=listen.key_file,
    )
