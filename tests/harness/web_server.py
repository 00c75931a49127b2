"""The HTTP server on a socket of loopback, in the test's own event loop, with a played gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from producer.web import server
from producer.web.gateway.interface import Gateway
from producer.web.settings import ListenSettings, ServeSettings, WebSettings
from transport.reports.reporter import Reporter

HOST = "127.0.0.1"
_PIECE_BYTES = 65_536


class Connection:
    """A connection whose bytes a test writes by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes; where the server has closed the connection, `rest` shows it."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """Return what arrives until the server closes the connection."""
        arrived = b""
        with contextlib.suppress(ConnectionError):  # it has closed with bytes unread: what came before counts
            while piece := await self.reader.read(_PIECE_BYTES):
                arrived += piece
        return arrived


class Server:
    """A running server."""

    def __init__(self, port: int, stop: Callable[[], None], connections: Callable[[], int]) -> None:
        self.port = port
        self.stop = stop
        self.connections = connections
        self.url = f"http://{HOST}:{port}"

    @contextlib.asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection(HOST, self.port, **options)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def running_server(
    gateway: Gateway,
    port: int = 0,
    *,
    web: WebSettings | None = None,
    reporter: Reporter | None = None,
    **listen: Any,
) -> AsyncIterator[Server]:
    """Run a server for the length of the context."""
    listening_at = {"listen": ListenSettings(host=HOST, port=port, **listen)}
    settings = ServeSettings(web=(web or WebSettings()).model_copy(update=listening_at))

    @contextlib.asynccontextmanager
    async def played(_settings: ServeSettings) -> AsyncIterator[Gateway]:
        yield gateway

    listening: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    def started(running: server.HttpServer) -> None:
        port = running.servers[0].sockets[0].getsockname()[1]
        listening.set_result(Server(port, running.stop, lambda: len(running.server_state.connections)))

    task = asyncio.create_task(server.serve(settings, played, reporter or Reporter(), started), name="server")
    futures: set[asyncio.Future[Any]] = {task, listening}
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    running = listening.result()
    try:
        yield running
    finally:
        running.stop()
        await task


def certificate_files(folder: Path) -> tuple[Path, Path, Path]:
    """Make a certificate of loopback; return the files of its chain, its key and its authority."""
    import trustme  # noqa: PLC0415  # only tests of TLS need it

    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    chain, key, trusted = folder / "chain.pem", folder / "key.pem", folder / "ca.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    trusted.write_bytes(authority.cert_pem.bytes())
    return chain, key, trusted
