"""Who a request is from, and how a request shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from producer.web.problems import ProblemError, Refusal


class Scope(StrEnum):
    """What a caller may do."""

    PREDICT = "predict"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from."""

    name: str
    """For the log: the name of the key, or the subject of the token."""
    tenant: str
    """Whose requests it sends and sees."""
    scopes: frozenset[str]
    per_s: float | None = None
    """Requests per second; None: as the settings say."""
    expires_at_s: float | None = None
    """The end of its key, Unix time; None: without an end, or by a token, which is checked each time."""


ANONYMOUS: Final = Caller("anonymous", "anonymous", frozenset(Scope))
"""Every caller, if clients need not show who they are."""
CHALLENGE: Final = 'Bearer realm="digitstream"'


def credential(request: Request) -> str | None:
    """Return the key or token of a request; None if it has none.

    Raises
    ------
    ProblemError
        The request signs in by something else, such as a password, or by two different ways.
    """
    key = request.headers.get("x-api-key")
    header = request.headers.get("authorization")
    if header is None:
        return key
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise not_signed_in("The header Authorization must have the form: Bearer KEY-OR-TOKEN.")
    if key is not None:
        raise not_signed_in("Send either Authorization or X-API-Key.")
    return value.strip()


def not_signed_in(detail: str, *, error: str | None = None) -> ProblemError:
    """Make the refusal of a request that does not show who it is from."""
    challenge = CHALLENGE if error is None else f'{CHALLENGE}, error="{error}"'
    return ProblemError(Refusal.NOT_SIGNED_IN, detail, headers={"WWW-Authenticate": challenge})
