"""What a report says. Nothing is removed from an event: one is built from what may leave the process.

That is types of exceptions, functions, files and lines, our own sentences, and the place of a record. The messages of
exceptions stay here, except those of a `FatalError`, because a library may quote in a message what it could not read.
So do local variables, source lines, absolute paths and the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sentry_sdk.types import Event
from sentry_sdk.utils import event_from_exception

from release.printable import printable
from transport.errors import FatalError
from transport.reports.reporter import Where

MOST_CHARACTERS: Final = 200
"""Of a tag: Sentry drops longer ones."""
MOST_SENTENCE_CHARACTERS: Final = 1_000
FRAME: Final = ("filename", "function", "module", "lineno")
"""What is reported of a frame; ``filename`` is relative to the folder of the packages."""
MECHANISM: Final = ("type", "handled", "source", "exception_id", "parent_id", "is_exception_group")
"""How exceptions are chained or grouped."""

Level = Literal["fatal", "error"]


def event_of(
    what: str,
    level: Level,
    *,
    where: Where,
    error: BaseException | None,
    detail: str,
    options: dict[str, Any],
) -> Event:
    """Build an event.

    Parameters
    ----------
    what
        What has happened, in two to four words: events with the same words and the same detail, or the same traceback,
        are one issue.
    level
        Fatal: the program ends.
    where
        The tags: partition, offset, request id. Values are cut short, and control characters are escaped.
    error
        Its type and traceback are reported, and those of its causes.
    detail
        Added to `what`.
    options
        Of the client: they say that no variables and no source lines are read.
    """
    title = f"{what}: {detail}" if detail else what
    event: Event = {"level": level, "logger": "digitstream", "tags": _tags(where)}
    if error is None:
        event["message"] = title
        event["fingerprint"] = [what, detail]
        return event
    values = [_exception(each) for each in event_from_exception(error, options)[0]["exception"]["values"]]
    if isinstance(error, FatalError):
        values[-1]["value"] = printable(str(error))[:MOST_SENTENCE_CHARACTERS]
    event["exception"] = {"values": values}
    event["tags"]["what"] = title
    return event


def _tags(where: Where) -> dict[str, str]:
    return {name: printable(str(value))[:MOST_CHARACTERS] for name, value in where.items()}


def _exception(value: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"type": value["type"], "module": value["module"], "value": ""}
    kept["mechanism"] = _picked(value.get("mechanism") or {}, MECHANISM)
    frames = (value.get("stacktrace") or {}).get("frames") or []
    if frames:
        kept["stacktrace"] = {"frames": [_frame(each) for each in frames]}
    return kept


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    kept = _picked(frame, FRAME)
    if str(kept.get("filename")).startswith("/"):  # of a script, which belongs to no package
        kept["filename"] = kept["filename"].rpartition("/")[2]
    return kept


def _picked(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
