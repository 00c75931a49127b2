"""The committed offsets of the group, read so that no open transaction can change them afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from transport.denials import denial
from transport.errors import FatalError
from transport.internals import coordinator_of, send_to_coordinator
from transport.protocol.error_codes import UNSTABLE_OFFSET_COMMIT, error_for
from transport.protocol.offsets import fetch_offsets
from transport.retry import retry

RETRY_PAUSE_S: Final = 0.25
UNSTABLE_PAUSE_S: Final = 0.02
"""The markers of a transaction that has ended are usually written in some milliseconds."""
MOVING: Final = (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError, GroupLoadInProgressError)


class CommittedOffset(NamedTuple):
    """What the group has committed for a partition."""

    offset: int | None
    """None if it has committed nothing, or if `is_stable` is false."""
    is_stable: bool = True
    """False while an open transaction may change it."""


async def committed_offset(
    consumer: AIOKafkaConsumer, partition: TopicPartition, *, stable: bool = True
) -> CommittedOffset:
    """Return the group's committed offset of one partition; as `committed_offsets`."""
    return (await committed_offsets(consumer, [partition], stable=stable))[partition]


async def committed_offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, stable: bool = True
) -> dict[TopicPartition, CommittedOffset]:
    """Return the group's committed offsets; the caller sets a deadline.

    The client's own `committed` ignores the error code of the whole response. A broker that is not the coordinator any
    more, or has not loaded the offsets yet, then seems to have no offset, and the partition would be processed again
    from its beginning.
    Forced by test_the_service_finds_the_committed_offset_after_the_coordinator_moved.

    Parameters
    ----------
    consumer
        The member of the group.
    partitions
        Which.
    stable
        Whether to refuse offsets that an open transaction may change (KIP-447).

    Raises
    ------
    KafkaError
        The group refuses.
    """
    coordinator = coordinator_of(consumer)
    request = fetch_offsets(coordinator.group_id, partitions, stable=stable)

    async def fetch() -> dict[TopicPartition, CommittedOffset]:
        await coordinator.ensure_coordinator_known()
        try:
            return _read(await send_to_coordinator(consumer, request), partitions)
        except (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError):
            coordinator.coordinator_dead()
            raise

    return await retry(fetch, on=MOVING, pause_s=RETRY_PAUSE_S)


def _read(response: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
    """Return the offsets in a response, or raise the error that the response contains."""
    if response.error_code:
        raise error_for(response.error_code)
    found: dict[TopicPartition, CommittedOffset] = {}
    for topic, some, _ in response.topics:
        for number, offset, _, _, code, _ in some:
            if code == UNSTABLE_OFFSET_COMMIT:
                found[TopicPartition(topic, number)] = CommittedOffset(None, is_stable=False)
            elif code:
                raise error_for(code, topic)
            else:
                known = None if offset < 0 else int(offset)
                found[TopicPartition(topic, number)] = CommittedOffset(known)
    if set(partitions) - found.keys():
        raise GroupLoadInProgressError("the answer does not name all partitions")
    return found


class GroupOffsets:
    """The committed offsets, for the publisher. Owner: the service."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Return the committed offsets once no open transaction can change them; waits as long as brokers need.

        Raises
        ------
        FatalError
            A right is missing.
        """
        while True:
            try:
                found = await committed_offsets(self._consumer, partitions)
            except (KafkaError, TimeoutError) as error:
                if denied := denial(error, topic_right="Read"):
                    raise FatalError(f"cannot read committed offsets: {denied}") from error
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            if all(each.is_stable for each in found.values()):
                return {partition: each.offset for partition, each in found.items()}
            await asyncio.sleep(UNSTABLE_PAUSE_S)
