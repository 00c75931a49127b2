"""Sends a request, and waits for its answer as long as bytes move.

A request has no total deadline: 16 MiB take as long as the line takes. A broker that neither takes nor sends bytes for
the request timeout is given up, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError, RequestTimedOutError

from transport.internals import DEFAULT_USE, abort_connection, connection_to, file_descriptor, remove_time_limit

_MOVED: Final = struct.Struct("QQ")
_MOVED_AT: Final = 120
"""Bytes that the other side has acknowledged, and bytes received, in Linux's ``struct tcp_info`` (since 4.1)."""


class Request(Protocol):
    """A request for the client."""

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return the request in a version that a broker understands."""


async def send_request(
    client: AIOKafkaClient, node: int, request: Request, timeout_s: float, *, use: object = DEFAULT_USE
) -> Any:
    """Send a request to a broker and return its answer.

    Parameters
    ----------
    client, node
        Whose connections, and to which broker.
    request
        The request.
    timeout_s
        The longest time without progress.
    use
        As for `connection_to`. If the request fails, the connection is closed, also for others that use it.

    Raises
    ------
    KafkaError
        The broker cannot be reached, or made no progress for the timeout. Unless it is `NodeNotReadyError`, the broker
        may have done what was requested, or may still do it.
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await connection_to(client, node, use)
    except TimeoutError as error:
        raise NodeNotReadyError(f"broker {node} does not accept connections") from error
    if connection is None:
        raise NodeNotReadyError(f"broker {node} cannot be reached")
    remove_time_limit(connection)
    answer = asyncio.ensure_future(connection.send(request))
    try:
        await _wait_while_bytes_move(node, connection, answer, timeout_s)
        return answer.result()
    except BaseException:
        # Bytes that were not sent yet must not reach the broker later, and no late answer the next request.
        abort_connection(connection)
        raise
    finally:
        if not answer.done():
            answer.cancel()
            with contextlib.suppress(asyncio.CancelledError, KafkaError):
                await answer


async def _wait_while_bytes_move(node: int, connection: Any, answer: asyncio.Future[Any], timeout_s: float) -> None:
    moved = _moved_bytes(connection)
    while not (await asyncio.wait({answer}, timeout=timeout_s))[0]:
        before, moved = moved, _moved_bytes(connection)
        if moved == before:
            raise RequestTimedOutError(f"broker {node} made no progress for {timeout_s:g} s")


def _moved_bytes(connection: Any) -> int:
    """Return how many bytes have reached the broker on a connection, and have come from it.

    The operating system counts them. What the client has not given to it yet says less: TLS gives it all at once, and
    with several requests on one connection it grows and shrinks at the same time.
    """
    number = file_descriptor(connection)
    if number < 0 or not hasattr(socket, "TCP_INFO"):
        return 0  # other systems do not count: there a request has the request timeout in all
    with socket.socket(fileno=os.dup(number)) as same:
        return sum(_MOVED.unpack_from(same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), _MOVED_AT))
