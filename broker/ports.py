"""Chooses ports that nobody listens on."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

from broker.errors import BrokerError, PortTakenError
from broker.probe import HOST

PORTS: Final = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections (Linux: from 32768). From that range a
client that keeps calling a stopped server is in the end given the very port it calls, connects to
itself, and the server cannot come back."""


def check_port_free(port: int) -> None:
    """Find out before anything is started whether a port can be had.

    Raises
    ------
    PortTakenError
        Another program listens there, or this user may not.
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
    """Choose ports on loopback; another process may still be faster than whoever is to listen there.

    Raises
    ------
    BrokerError
        There are not so many.
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
