"""Asks a broker the smallest question that only a working one can answer: who is in your cluster."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from typing import IO, Any, Final

HOST: Final = "127.0.0.1"
_METADATA_V2: Final = struct.pack(">hhihi", 3, 2, 0, -1, 0)
"""Key 3, version 2, correlation 0, no client id, an array of no topics."""


def count_live_brokers(port: int, cluster_id: str, *, timeout_s: float, tls: ssl.SSLContext | None = None) -> int:
    """Count the brokers that one of them knows to be alive.

    Parameters
    ----------
    port
        Of the one that is asked.
    cluster_id
        An answer from another cluster, which happens to have that port, does not count.
    timeout_s
        For each step of the exchange.
    tls
        The context for a port that uses TLS.

    Returns
    -------
    int
        0 while there is no answer. A broker counts once it may lead partitions (it is "unfenced").

    References
    ----------
    https://kafka.apache.org/protocol#The_Messages_Metadata
    """
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((HOST, port), timeout_s))
            if tls is not None:
                connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=HOST))
            answer = stack.enter_context(connection.makefile("rb"))
            connection.sendall(struct.pack(">i", len(_METADATA_V2)) + _METADATA_V2)
            _length, _correlation, brokers = _read(answer, ">iii")
            for _ in range(brokers):
                _node, host_bytes = _read(answer, ">ih")
                _host, _port, rack_bytes = _read(answer, f">{host_bytes}sih")
                _read(answer, f">{max(0, rack_bytes)}s")
            (id_bytes,) = _read(answer, ">h")
            (answered_by,) = _read(answer, f">{max(0, id_bytes)}s")
    except (OSError, struct.error):  # no listener, too slow, or closed in the middle of an answer
        return 0
    return int(brokers) if answered_by.decode() == cluster_id else 0


def _read(answer: IO[bytes], layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, answer.read(struct.calcsize(layout)))
