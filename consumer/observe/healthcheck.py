"""Ask the service in this container whether it is ready; a container's health check runs it.

``python -P -m consumer.observe.healthcheck`` asks ``/readyz`` where DIGITS_HEALTH__HOST and DIGITS_HEALTH__PORT say,
prints the answer, and ends with 0 if the service is ready, else with 1. It is no command of ``digit-consumer`` and
imports nothing but the standard library: a health check runs every few seconds, and the libraries of the command line
take ten times as long.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

TIMEOUT_S: Final = 3.0
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here
"""Addresses that stand for all of a machine: a server listens on them, and a client uses these instead."""


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of the health server; the defaults are those of `consumer.settings.HealthSettings`."""
    host = environment.get("DIGITS_HEALTH__HOST", "127.0.0.1")
    return EVERYWHERE.get(host, host), int(environment.get("DIGITS_HEALTH__PORT", "8080"))


def main() -> int:
    """Ask, print what came back, and return the exit code."""
    host, port = address(os.environ)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said, ready = answer.read().decode().strip(), answer.status == http.client.OK
    except (OSError, http.client.HTTPException) as error:
        said, ready = f"no answer at {host}:{port}: {error}", False
    finally:
        connection.close()
    sys.stdout.write(said + "\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
