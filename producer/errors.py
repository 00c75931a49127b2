"""The exit codes of `digit-producer`, and the errors that carry them.

An error's message is one line for a person; for settings it is one line for each of them. It may contain names from
files or topics, so the code that prints it escapes what is not printable.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Self


class Exit(IntEnum):
    """An exit code of `digit-producer`; `meaning` is a sentence for ``--help``."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Bind the meaning to the member; its value stays the plain code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "Everything is done. With send --wait: every image was recognised."
    NOT_ALL_WELL = (
        1,
        "An image is unsure or failed; audit found a fault or nothing to prove; create-topics --check found a misfit.",
    )
    USAGE = 2, "An option, a path or a setting is wrong; nothing was sent."
    KAFKA = 3, "Kafka cannot be reached, lacks a topic, refuses a request, or does not answer."
    UNANSWERED = 4, "All was sent, but results were missing when the time was over."
    INTERRUPTED = 130, "Ctrl-C stopped the command (watch and status --refresh end with 0)."


class CommandError(Exception):
    """A command cannot continue."""

    exit_code: ClassVar[Exit]


class UsageError(CommandError):
    """An option, a path or a file cannot be used."""

    exit_code = Exit.USAGE
