"""Payloads to outcomes: what the service, the command line and a notebook call.

open      each payload: one image, or an archive of many
decode    one image after the other; whatever is wrong with one stays with that one
canvas    small pictures wait and go through together; a large one at once, so that its pixels can be forgotten
classify  256 digits at a time, of whichever payloads they are
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.classifier import Classifier, Reading
from engine.errors import EngineError, InternalError, OutOfMemory
from engine.limits import Limits
from engine.payload import Item, Payload, open_payload
from engine.picture import Picture, decode

_CHUNK = 256
_WAITING_VALUES = 2_000_000  # pixels times channels: what decoded pictures may hold in memory while they wait
_KEPT_RATIO = 4
_KEPT_BYTES = 64 * 1024
_NOT_KEPT = f"the failed entries of this archive take more than {_KEPT_RATIO} times its own bytes"
"""What an archive inflates to may be 200 times its size; so much of it must not come out again as failed entries."""


@dataclass(slots=True)
class Outcome:
    """What became of one image, or of a payload as a whole."""

    name: str | None = None
    """The archive entry's name; None for a payload that is no archive."""
    reading: Reading | None = None
    """None exactly if `error` is set."""
    error: EngineError | None = None
    data: bytes | None = None
    """The bytes of a failed archive entry."""
    left_out: str | None = None
    """Why a failed archive entry has no `data`."""


@dataclass(slots=True)
class _Waiting:
    """Pictures whose digit is not read yet, with the outcome that waits for it."""

    pictures: list[Picture] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    pixels: int = 0


class Reader:
    """Reads payloads with one classifier, within the limits. Keeps nothing from one call to the next."""

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self._classifier = classifier
        self._limits = limits

    def warm_up(self) -> None:
        """Read pictures of every kind once, so that what compiles or allocates on first use has done so."""
        page = np.full((280, 280), 255, np.uint8)
        page[60:220, 120:150] = 20
        kinds = [page, cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), cv2.cvtColor(page, cv2.COLOR_GRAY2BGRA)]
        pages = [each for kind in kinds for each in (np.ascontiguousarray(kind[::10, ::10]), kind)]
        self.read([bytes(cv2.imencode(kind, each)[1]) for each in pages for kind in (".png", ".jpg")])

    def read(
        self,
        payloads: Sequence[bytes],
        on_item: Callable[[int, int], None] | None = None,
        skip: Sequence[Collection[int]] | None = None,
    ) -> list[list[Outcome]]:
        """Read every image of every payload.

        Parameters
        ----------
        payloads
            Each an encoded image, or a zip archive of such.
        on_item
            Called with the payload's and the item's index before an item is touched, so that whoever watches knows
            which one is to blame for a crash.
        skip
            For each payload the items that are not to be touched: each comes out with neither reading nor error.

        Returns
        -------
        outcomes
            For each payload at least one: its images in the archive's order, or the failure of the payload as a whole.
        """
        waiting = _Waiting()
        read = [
            self._outcomes(payload, index, waiting, on_item or _nobody_watches, skip[index] if skip else ())
            for index, payload in enumerate(payloads)
        ]
        self._classify(waiting)
        return read

    def _outcomes(
        self,
        payload: bytes,
        payload_index: int,
        waiting: _Waiting,
        on_item: Callable[[int, int], None],
        skip: Collection[int],
    ) -> list[Outcome]:
        """Give one outcome for each item; its reading is filled in when its turn comes."""
        on_item(payload_index, 0)
        outcomes: list[Outcome] = []
        try:
            opened = open_payload(payload, self._limits)
            if opened.is_image:
                outcome = Outcome()
                outcomes.append(outcome)
                if 0 not in skip:
                    outcome.error = self._decode(payload, outcome, waiting)
            else:
                outcomes.extend(self._entries(opened, payload_index, waiting, on_item, skip))
        except EngineError as error:
            outcomes.append(Outcome(error=error))
        return outcomes

    def _entries(
        self,
        opened: Payload,
        payload_index: int,
        waiting: _Waiting,
        on_item: Callable[[int, int], None],
        skip: Collection[int],
    ) -> Iterable[Outcome]:
        """Yield one outcome for each entry of an archive."""
        room_bytes = _KEPT_RATIO * opened.size_bytes + _KEPT_BYTES
        items = opened.items()
        for index in range(opened.count):
            on_item(payload_index, index)  # before it is inflated, which may be what goes wrong
            item = next(items)
            if index in skip:
                outcome = Outcome(item.name, data=item.data, left_out=item.left_out)
            else:
                outcome = self._begin(item, waiting)
            room_bytes -= len(outcome.data or b"")
            if outcome.data is not None and room_bytes < 0:
                room_bytes += len(outcome.data)
                outcome.data, outcome.left_out = None, _NOT_KEPT
            yield outcome

    def _begin(self, item: Item, waiting: _Waiting) -> Outcome:
        """Decode one item and let it wait for its chunk; or say what is wrong with it."""
        outcome = Outcome(item.name, error=item.error)
        if item.error is None and item.data is not None:
            outcome.error = self._decode(item.data, outcome, waiting)
        if outcome.error is not None and item.name is not None:
            outcome.data, outcome.left_out = item.data, item.left_out
        return outcome

    def _decode(self, data: bytes, outcome: Outcome, waiting: _Waiting) -> EngineError | None:
        """Turn bytes into a picture that waits; return what went wrong."""
        try:
            waiting.pictures.append(decode(data, self._limits))
        except EngineError as error:
            return error
        except MemoryError:
            return OutOfMemory("Decoding the image took more memory than there is.")
        except Exception as cause:  # noqa: BLE001  # whatever a decoder raises is this image's fault, not the batch's
            internal = InternalError(f"Decoding the image failed: {type(cause).__name__}.")
            internal.__cause__ = cause
            return internal
        waiting.outcomes.append(outcome)
        waiting.pixels += waiting.pictures[-1].pixels.size
        if len(waiting.outcomes) == _CHUNK or waiting.pixels > _WAITING_VALUES:
            self._classify(waiting)
        return None

    def _classify(self, waiting: _Waiting) -> None:
        """Read the digits of all pictures that wait."""
        if not waiting.outcomes:
            return
        readings = self._classifier.classify(self._classifier.see(waiting.pictures))
        for outcome, reading in zip(waiting.outcomes, readings, strict=True):
            outcome.reading = reading
        waiting.pictures.clear()
        waiting.outcomes.clear()
        waiting.pixels = 0


def _nobody_watches(_payload: int, _item: int) -> None:
    """Stand in for `on_item`."""
