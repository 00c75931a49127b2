"""How a command ends: its exit codes, and the errors that carry them.

An error's message is one line for a person (settings: one line each). It may contain names from
files or topics, so whoever prints it cleans it.
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

    OK = 0, "All is done. With send --wait: every image was recognised."
    NOT_ALL_WELL = 1, "An image is unsure or failed; audit found a fault or nothing; create-topics --check a misfit."
    USAGE = 2, "A wrong option, path or setting; nothing was sent."
    KAFKA = 3, "Kafka is out of reach, lacks a topic, refuses, or does not answer."
    UNANSWERED = 4, "Sent, but results were missing when the time was up."
    INTERRUPTED = 130, "Stopped by Ctrl-C (watch and status --watch end with 0)."


class ProducerError(Exception):
    """A command cannot go on."""

    exit_code: ClassVar[Exit]


class UsageProblem(ProducerError):  # noqa: N818  # it may be the caller's, a file's, the environment's
    """What was asked for makes no sense here."""

    exit_code = Exit.USAGE
