"""The error codes of brokers: which of them have the same consequence, and the errors that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka.errors import BrokerResponseError, KafkaError, for_code

LEADER_NOT_AVAILABLE: Final = 5
TOPIC_DENIED: Final = 29
GROUP_DENIED: Final = 30
ID_DENIED: Final = 53
CONCURRENT_TRANSACTIONS: Final = 51
"""The coordinator still writes the markers of the last transaction."""
UNSTABLE_OFFSET_COMMIT: Final = 88
"""An open transaction may change the offset."""
NOT_COORDINATOR: Final = frozenset({14, 16})
"""The coordinator has moved, or still loads its log. It has refused the request."""
STALE_MEMBER: Final = frozenset({22, 25, 27, 82})
"""The group has removed the member, or is in a later generation."""
PARTITION_UNAVAILABLE: Final = frozenset({3, 5, 6, 7, 19, 20, 56, 74, 75})
"""The partition does not exist, has no leader, has another one, or too few replicas in sync. The others are not
concerned."""
FATAL: Final = frozenset({10, 17, 18, 29, 30, 31, 32, 35, 43, 50, 53, 76, 87})
"""What a later attempt would not change: sizes, rights, versions, and batches that a broker does not take."""

_NAMES: Final[Mapping[int, str]] = {
    56: "KafkaStorageError",
    74: "FencedLeaderEpochError",
    75: "UnknownLeaderEpochError",
    76: "UnsupportedCompressionTypeError",
    82: "FencedInstanceIdError",
    87: "InvalidRecordError",
    88: "UnstableOffsetCommitError",
    90: "ProducerFencedError",
    120: "TransactionAbortableError",
}
"""Errors that aiokafka 0.14 does not know."""


class RefusedError(BrokerResponseError):  # type: ignore[misc]  # aiokafka ships no types
    """A broker has refused a request with an error code that aiokafka does not know.

    Parameters
    ----------
    code
        The code.
    arguments
        What it is about.
    """

    def __init__(self, code: int, *arguments: object) -> None:
        super().__init__(*arguments)
        self.errno = code

    def __str__(self) -> str:
        name = f"[Error {self.errno}] {_NAMES.get(self.errno, 'unknown error')}"
        return ": ".join([name, " ".join(map(str, self.args))] if self.args else [name])


def error_for(code: int, *arguments: object) -> KafkaError:
    """Return the error of a code, with what it is about."""
    known = for_code(code)
    if known.errno == code:
        return known(*arguments)
    return RefusedError(code, *arguments)
