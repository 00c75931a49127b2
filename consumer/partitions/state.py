"""What is known of an assigned partition, from one of its lanes to the next in this process."""

from __future__ import annotations

from dataclasses import dataclass


class OffsetLost(Exception):  # noqa: N818  # it names what became of the offset
    """The log does not have the committed offset, or there is none: an operator has to decide what to do.

    Parameters
    ----------
    why
        A sentence with the offsets.
    committed
        The offset that was lost; None if the group has none.
    """

    def __init__(self, why: str, committed: int | None) -> None:
        super().__init__(why)
        self.committed = committed


@dataclass(slots=True)
class PartitionState:
    """Owner: the partition's present lane, of which there is never more than one."""

    committed_offset: int | None = None
    """As of the last commit or start; None before the first start."""
    parked: OffsetLost | None = None
    """Why nothing is fetched until an operator repairs the group's offset; None: the offset is in order."""
