"""Which pictures the challenger reads: a share, the same ones in each instance and however often they are read."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from consumer.workers.answering.requests import Request
from consumer.workers.challenge.report import Skip
from consumer.workers.tasks import Task
from contract.topics import DISAGREEMENT_BYTES
from engine.reader import OnDecoded, Outcome

KEPT_BYTES: Final = 4 * 1024 * 1024
"""The most bytes of pictures that wait for the challenger."""
_PLACE: Final = struct.Struct("=qqq")
_HASHES: Final = 1 << 64


def is_sampled(partition: int, offset: int, item: int, share: float) -> bool:
    """Return whether a picture belongs to the share. It depends on nothing but the place of the picture."""
    digest = hashlib.blake2b(_PLACE.pack(partition, offset, item), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * _HASHES


@dataclass(slots=True)
class Sample:
    """A picture that waits for the challenger, and its outcome, which has the champion's reading."""

    partition: int
    offset: int
    item: int
    request_id: str
    name: str | None
    data: bytes
    outcome: Outcome


@dataclass(slots=True)
class Samples:
    """The pictures of one batch that are in the share. Owner: the main loop of the worker.

    Attributes
    ----------
    share
        From 0 to 1.
    waiting, skipped
        The pictures, and why others of the share are not among them.
    """

    share: float
    waiting: list[Sample] = field(default_factory=list)
    skipped: Counter[Skip] = field(default_factory=Counter)
    _kept_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.waiting or self.skipped)

    def watch(self, tasks: Sequence[Task], requests: Sequence[Request]) -> OnDecoded:
        """Return what is called with each picture of these requests that the champion reads."""

        def add(payload: int, item: int, data: bytes, outcome: Outcome) -> None:
            request = requests[payload]
            partition = tasks[request.place].partition
            # A canary, or a digit of the golden set, is in no topic.
            if partition < 0 or not is_sampled(partition, request.offset, item, self.share):
                return
            if len(data) > DISAGREEMENT_BYTES or self._kept_bytes + len(data) > KEPT_BYTES:
                self.skipped["size"] += 1
                return
            self._kept_bytes += len(data)
            name = request.filename if outcome.of == "image" else outcome.name
            self.waiting.append(
                Sample(partition, request.offset, item, request.request_id, name, data, outcome),
            )

        return add
