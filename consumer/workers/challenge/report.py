"""What a worker reports of a challenge: counts and sums, and the pictures on which the two models disagree."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

Label = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "unsure"]
"""What a model says of a picture: the digit that it recognises, or that it is not certain."""
ChallengerLabel = Literal[Label, "failed"]
Skip = Literal["load", "size"]
"""Why a picture of the share was not read: the next batch had come; or it, or all that wait, would take too much."""
LABELS: Final = (*map(str, range(10)), "unsure")
FAILED: Final = "failed"
"""The challenger has given no answer, or one that is not a number."""


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a model has answered."""

    status: Literal["recognised", "unsure"]
    digit: Annotated[int, msgspec.Meta(ge=0, le=9)]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    reason: Literal["low-confidence", "not-a-digit"] | None


class Disputed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A picture on which the two models disagree."""

    partition: Count
    offset: Count
    item: Count
    request_id: str
    name: str | None
    champion: Said
    challenger: Said
    data: bytes


class Compared(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many pictures had this pair of answers."""

    champion: Label
    challenger: ChallengerLabel
    count: Count


class Challenged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The report of one batch's challenge. A worker sends one after each batch of which pictures were in the share."""

    compared: list[Compared] = []
    champion_confidence: float = 0.0
    """The sum over the pictures that both models have answered."""
    challenger_confidence: float = 0.0
    seconds: float = 0.0
    """Time in which the challenger has read these pictures, from their bytes."""
    skipped: dict[Skip, Count] = {}
    disputed: list[Disputed] = []
    """If the service publishes them."""

    @property
    def is_sound(self) -> bool:
        """False if a number is not one, which the types allow: it would spoil a counter for good."""
        sums = (self.champion_confidence, self.challenger_confidence, self.seconds)
        return all(math.isfinite(each) and each >= 0 for each in sums)


REPORT: Final = msgspec.msgpack.Decoder(Challenged)
