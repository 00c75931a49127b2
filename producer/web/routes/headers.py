"""Reads the headers of a request, and its query: its key, how long it waits, and what its results have."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from contract.headers import ECHOED_BYTES
from contract.traceparent import TraceParent
from producer.web.gateway.interface import MAX_ID_CHARACTERS
from producer.web.problems import ProblemError, Refusal

_KEY: Final = re.compile(rf"[!-~]{{1,{MAX_ID_CHARACTERS}}}")
_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)
NDJSON: Final = "application/x-ndjson"


def idempotency_key(request: Request) -> str | None:
    """Return the key of a request, with or without the quotes of a structured field; None if it has none.

    Raises
    ------
    ProblemError
        The header occurs twice, or has something else than 1 to 255 printable ASCII characters without spaces.
    """
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    key = values[0].strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key):
        raise ProblemError(
            Refusal.INVALID_KEY,
            f"An Idempotency-Key has 1 to {MAX_ID_CHARACTERS} printable ASCII characters without spaces.",
        )
    return key


def wait_s(request: Request, most_s: float) -> float:
    """Return how long the client waits: `Prefer: wait=SECONDS` (RFC 7240), up to the server's own limit."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return most_s if found is None else min(most_s, float(found[1]))


def correlation_id(request: Request) -> str | None:
    """Return the header that comes back unchanged on every result; None if there is none, or a useless one."""
    value = request.headers.get("correlation-id")
    return value if value and len(value.encode()) <= ECHOED_BYTES else None


def traceparent(request: Request) -> str | None:
    """Return the W3C trace context of the request; None if there is none, or a malformed one."""
    value = request.headers.get("traceparent")
    return value if value and TraceParent.parse(value.encode()) is not None else None


def wants_seen(request: Request) -> bool:
    """Return whether the results are to have the picture that the model saw: `?seen=true`."""
    return request.query_params.get("seen") == "true"


def wants_lines(request: Request) -> bool:
    """Return whether the results are to be sent one by one, each as a line of JSON."""
    return NDJSON in request.headers.get("accept", "").lower()


def location(request: Request, path: str) -> str:
    """Return a path of the API, of the version that the request used."""
    prefix: str = request.scope.get("root_path", "")
    version = "/v1" if request.url.path.removeprefix(prefix).startswith("/v1/") else ""
    return f"{prefix}{version}{path}"
