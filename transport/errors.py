"""Errors, sorted by what happens next.

These concern a lane, a command or the whole service. A defect of a single item raises none of them: it becomes a
failed result, see `consumer.workers.worker`.
"""

from __future__ import annotations

from aiokafka.errors import KafkaError

__all__ = [
    "FatalError",
    "InvalidSettingError",
    "KafkaError",
    "KafkaRequestError",
    "OwnershipLost",
    "describe",
    "leaf_exceptions",
]


class OwnershipLost(Exception):  # noqa: N818  # it names what became of the partition, not a defect
    """The partition may no longer be ours: the lane ends, and the group decides who continues.

    Also raised when the outcome of a transaction cannot be known, and when a producer has failed. The next lane
    fences, reads the committed offset and repeats what was not committed.
    """


class FatalError(Exception):
    """The service cannot continue: it commits nothing more, logs the reason in one line and exits non-zero."""


class KafkaRequestError(Exception):
    """Kafka refused or did not answer what a command asked; the message names that and, if known, what helps."""


class InvalidSettingError(FatalError):
    """A setting cannot be used. The message begins with the variable and its value."""

    def __init__(self, variable: str, value: object, why: str) -> None:
        super().__init__(f"{variable}={str(value)!r}: {why}")


def leaf_exceptions(error: BaseException) -> list[BaseException]:
    """Return the exceptions inside of exception groups: a task group wraps even a single one."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaf_exceptions(inner)]
    return [error]


def describe(error: BaseException) -> str:
    """Return type and message of an exception in one line; the type alone if it has no message."""
    name, text = type(error).__name__, " ".join(str(error).split())
    if text.startswith(name):  # aiokafka's errors name themselves
        return text
    return f"{name}: {text}" if text else name
