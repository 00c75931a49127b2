"""Asks a broker the smallest question that only a working one answers."""

from __future__ import annotations

import socket
import struct
from typing import Final

HOST: Final = "127.0.0.1"
_METADATA_V1: Final = struct.pack(">hhihi", 3, 1, 0, -1, 0)
"""Key 3, version 1, correlation 0, no client id, an array of no topics: only the brokers are asked for."""


def registered_brokers(port: int, *, timeout_s: float) -> int:
    """Count the brokers that one of them knows to be alive.

    Returns
    -------
    int
        0 while nobody answers. A broker counts once it may lead partitions (it is "unfenced").

    References
    ----------
    https://kafka.apache.org/protocol#The_Messages_Metadata
    """
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA_V1)) + _METADATA_V1)
            with connection.makefile("rb") as answer:
                head = answer.read(12)  # length, correlation, number of brokers
    except OSError:
        return 0
    return int(struct.unpack(">iii", head)[2]) if len(head) == 12 else 0  # noqa: PLR2004  # as read above
