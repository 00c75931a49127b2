"""Refusals by brokers: those that end by themselves are waited for, and those that would not are fatal."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import TopicPartition

from transport.denials import denial
from transport.errors import FatalError, describe
from transport.protocol.error_codes import FATAL, GROUP_DENIED, ID_DENIED, TOPIC_DENIED, error_for
from transport.retry import repeating

CONCURRENT_PAUSES_S: Final = (0.002, 0.003, 0.005)
"""The markers of a transaction are usually written within some milliseconds; the last pause repeats."""
BLOCKED_S: Final = 1.0
"""If the markers of a transaction cannot be written for so long, a partition of it has no leader or too few replicas.
Other partitions must not wait for that: the producer takes another transactional id."""


class Refusals:
    """The refusals of one request in a row, for a reason that ends by itself: how long to pause, when to give up.

    Owner: the task that sends the request.
    """

    def __init__(self) -> None:
        self._pauses = repeating(CONCURRENT_PAUSES_S)
        self._since_s: float | None = None

    def last_too_long(self) -> bool:
        """Return whether the request has been refused for `BLOCKED_S`; the first call is at the first refusal."""
        now_s = asyncio.get_running_loop().time()
        self._since_s = now_s if self._since_s is None else self._since_s
        return now_s - self._since_s >= BLOCKED_S

    async def pause(self, code: int) -> None:
        """Pause before the request is repeated.

        Raises
        ------
        KafkaError
            It has been refused for too long; the error is that of the last refusal.
        """
        if self.last_too_long():
            raise error_for(code)
        await asyncio.sleep(next(self._pauses))


def raise_if_fatal(
    code: int,
    transactional_id: str,
    *,
    partition: TopicPartition | None = None,
    group_id: str | None = None,
    topic_right: str = "Write",
) -> None:
    """Raise an error if a later attempt would be refused again.

    Parameters
    ----------
    code
        The error code of the refusal.
    transactional_id, partition, group_id
        What the request was about: the error names one of them, or the topic of the partition.
    topic_right
        The right that was used, if the error concerns a topic: Write or Read.

    Raises
    ------
    FatalError
        The code is one of `FATAL`.
    """
    if code not in FATAL:
        return
    about = {ID_DENIED: transactional_id, GROUP_DENIED: group_id}.get(code)
    if about is None and partition is not None:
        about = partition.topic if code == TOPIC_DENIED else f"{partition.topic}/{partition.partition}"
    error = error_for(code, about or transactional_id)
    raise FatalError(f"cannot commit: {denial(error, topic_right=topic_right) or describe(error)}") from error
