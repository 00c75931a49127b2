"""Choose ports on which no process listens."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

from broker.errors import BrokerError, PortTakenError
from broker.probe import HOST

PORTS: Final = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections (Linux: from 32768). Within that range, a
client that connects to a stopped server again and again may get the server's port as its own. It is
then connected to itself, and the server cannot start again."""


def check_port_free(port: int) -> None:
    """Check, before anything is started, whether a port can be used.

    Raises
    ------
    PortTakenError
        Another program listens on it, or this user may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} on {HOST} cannot be used ({error.strerror}): choose another one by --port"
            ) from error


def free_ports(count: int, *, avoid: int | None = None) -> list[int]:
    """Choose ports on loopback; another process may still take one before the caller does.

    Raises
    ------
    BrokerError
        There are too few.
    """
    free: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections don't count
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                free += [port] if port != avoid else []
        if len(free) == count:
            return free
    raise BrokerError(f"no {count} free ports from {PORTS.start} to {PORTS.stop - 1}")
