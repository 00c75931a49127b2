"""Failures by what happens next.

What is wrong with one item (poison) is no exception here: it travels as a failed result, see
`consumer.workers.worker`. What remains concerns a lane or the whole service.
"""

from __future__ import annotations

from aiokafka.errors import KafkaError

__all__ = ["Fatal", "KafkaError", "KafkaProblem", "Lost", "WrongSetting", "describe", "leaves"]


class Lost(Exception):  # noqa: N818  # it names what became of the partition, not a defect
    """Perhaps no longer ours: this lane ends, the group decides who goes on.

    Also the end of every transaction whose outcome nobody can know, and of every producer that
    failed: the next lane fences, reads the committed offset and repeats what did not commit.
    """


class Fatal(Exception):  # noqa: N818  # as above
    """Nothing here can mend it: commit nothing, say why in one line, exit non-zero."""


class KafkaProblem(Exception):  # noqa: N818  # it may be Kafka's, or that of whoever asks
    """Kafka does not do what a command asked; says what that was and, where known, what would help."""


class WrongSetting(Fatal):
    """A setting that cannot be used, found where it is used; the sentence begins with the variable and its value."""

    def __init__(self, variable: str, value: object, why: str) -> None:
        super().__init__(f"{variable}={str(value)!r}: {why}")


def leaves(error: BaseException) -> list[BaseException]:
    """Take the exceptions out of their groups: a task group wraps even a single one."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def describe(error: BaseException) -> str:
    """Name an exception in one line, also one without a message."""
    name, text = type(error).__name__, " ".join(str(error).split())
    if text.startswith(name):  # aiokafka's errors name themselves
        return text
    return f"{name}: {text}" if text else name
