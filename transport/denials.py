"""Names the right (ACL) that an error of the Kafka client says is missing."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


def denial(error: BaseException, *, topic_right: str = "Write") -> str | None:
    """Name the right that is missing; None if the error is of another kind.

    Parameters
    ----------
    error
        The error that aiokafka has raised.
    topic_right
        The right that was used, if the error concerns a topic: Write or Read.
    """
    name = _resource(error.args[0]) if error.args else "?"
    if isinstance(error, TopicAuthorizationFailedError):
        done = "written to" if topic_right == "Write" else "read"
        return f"topic {name} may not be {done} (ACL: {topic_right} on the topic)"
    if isinstance(error, GroupAuthorizationFailedError):
        return f"group {name} may not be joined (ACL: Read on the group)"
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return f"transactional id {name} may not be used (ACL: Write on ids that begin with the group's name and a dot)"
    return None


def _resource(named: str | Iterable[str]) -> str:
    return named if isinstance(named, str) else ", ".join(sorted(named))
