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
    if isinstance(error, TopicAuthorizationFailedError):
        done = "written to" if topic_right == "Write" else "read"
        return f"topic {_resource(error)} may not be {done} (ACL: {topic_right} on the topic)"
    if isinstance(error, GroupAuthorizationFailedError):
        return f"group {_resource(error)} may not be joined (ACL: Read on the group)"
    if isinstance(error, TransactionalIdAuthorizationFailed):
        rule = "Write on ids that begin with the group's name and a dot"
        return f"transactional id {_resource(error)} may not be used (ACL: {rule})"
    return None


def _resource(error: BaseException) -> str:
    """Return what an error of these kinds is about; an error of another kind may carry anything."""
    named: str | Iterable[str] = error.args[0] if error.args else "?"
    return named if isinstance(named, str) else ", ".join(sorted(named))
