"""Asks the program in this container whether it is ready; run by the health check of the container.

``python -P -m consumer.observe.healthcheck`` requests ``/readyz`` at DIGITS_HEALTH__HOST and DIGITS_HEALTH__PORT,
prints the answer, and exits with 0 if the service is ready, otherwise with 1. With a port as its argument it asks
there on loopback: that is for the HTTP server (`digit-producer serve`) without TLS. It is not a command of
``digit-consumer`` and imports only the standard library: a health check runs every few seconds, and importing the
libraries of the command line takes ten times as long.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

TIMEOUT_S: Final = 3.0
CONNECT_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here
"""Wildcard addresses that a server listens on, and the address to connect to instead."""


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of the health server. The defaults are those of `consumer.settings.HealthSettings`."""
    host = environment.get("DIGITS_HEALTH__HOST", "127.0.0.1")
    return CONNECT_ADDRESS.get(host, host), int(environment.get("DIGITS_HEALTH__PORT", "8080"))


def main(port_given: str | None = None) -> int:
    """Request ``/readyz``, print the answer, and return the exit code."""
    host, port = address(os.environ) if port_given is None else ("127.0.0.1", int(port_given))
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text, ready = answer.read().decode().strip(), answer.status == http.client.OK
    except (OSError, http.client.HTTPException) as error:
        text, ready = f"no answer at {host}:{port}: {error}", False
    finally:
        connection.close()
    sys.stdout.write(text + "\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
