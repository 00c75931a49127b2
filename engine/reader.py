"""Payloads to outcomes: what the service, the command line and a notebook call.

open      each payload: one image, or an archive of many
decode    one image after the other; whatever is wrong with one stays with that one
canvas    small pictures wait and go through together; a large one at once, so that its pixels can be forgotten
classify  256 digits at a time, of whichever payloads they are; or each by itself, to find the one that does harm

Whoever has others waiting reads in slices: `Reader.read_on` stops between two items when it is told that it is
enough, and goes on there the next time. What comes out is the same as without a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.decode import Admit, Picture, decode
from engine.codecs.payload import Item, Payload, open_payload
from engine.errors import ArchiveTooCostly, EngineError, unforeseen
from engine.limits import Limits
from engine.model.classifier import Classifier, Reading
from engine.resume_cursor import BEGINNING, ResumeCursor

_CHUNK = 256
_RULING = 60  # the grey of lines in the pictures of the warm-up
_WAITING_VALUES = 2_000_000  # pixels times channels: what decoded pictures may hold in memory while they wait
_KEPT_BYTES = 64 * 1024  # and so many for each byte of the archive as `Limits.kept_ratio` says

OnItem = Callable[[int, int], None]
"""Told the payload's and the item's index before an item is touched."""
OnTogether = Callable[[], None]
"""Told that from here on, until the next item, many are touched at once."""
OnOpen = Callable[[int, Payload], None]
"""Told the payload's index and what it holds before anything of it is touched; may raise an `EngineError`."""


@dataclass(slots=True)
class Outcome:
    """What became of one image, or of a payload as a whole."""

    of: Literal["payload", "image", "entry"] = "payload"
    """The payload as a whole, which could not be opened; the image that it is; an entry of the archive that it is."""
    name: str | None = None
    """The archive entry's name; None for a payload that is no archive, and where the name is too long."""
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

    most: int
    on_together: OnTogether
    pictures: list[Picture] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    pixels: int = 0


@dataclass(slots=True)
class _Reading:
    """A payload that is being read: what it has used, and who is to be told or asked."""

    payload: int
    begin: ResumeCursor
    enough: Callable[[], bool]
    on_item: OnItem
    skip: Collection[int]
    items: int = field(init=False)
    cost_bytes: int = field(init=False)
    kept_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.items, _, self.cost_bytes, self.kept_bytes, _ = self.begin

    def progress(self, count: int) -> ResumeCursor:
        return ResumeCursor(self.items, count, self.cost_bytes, self.kept_bytes)


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
        pages += [_ruled(page[::4, ::4]), _framed(page[::4, ::4]), _with_dark_edge(page[::4, ::4])]
        self.read([bytes(cv2.imencode(kind, each)[1]) for each in pages for kind in (".png", ".jpg")])

    def read(self, payloads: Sequence[bytes]) -> list[list[Outcome]]:
        """Read every image of every payload.

        Parameters
        ----------
        payloads
            Each an encoded image, or a zip archive of such.

        Returns
        -------
        outcomes
            For each payload at least one: its images in the archive's order, or the failure of the payload as a whole.
        """
        return self.read_on(payloads)[0]

    def read_on(
        self,
        payloads: Sequence[bytes],
        *,
        begin: Sequence[ResumeCursor] = (),
        enough: Callable[[], bool] | None = None,
        on_item: OnItem | None = None,
        on_together: OnTogether | None = None,
        one_by_one: bool = False,
        on_open: OnOpen | None = None,
        skip: Sequence[Collection[int]] = (),
    ) -> tuple[list[list[Outcome]], ResumeCursor | None]:
        """Read images until all are read or it is enough, at least one.

        Parameters
        ----------
        payloads
            Each an encoded image, or a zip archive of such.
        begin
            For each payload how far it has been read.
        enough
            Asked between two items.
        on_item
            So that whoever watches knows which item is to blame for a crash.
        on_together
            So that whoever watches knows that any item may be.
        one_by_one
            Never touch many items at once: slower, and `on_together` is not needed.
        on_open
            To refuse a payload for what it holds.
        skip
            For each payload the items that are not to be touched: each comes out with neither reading nor error.

        Returns
        -------
        outcomes
            For each payload that was begun: its images from `begin` on in the archive's order, or the failure of the
            payload as a whole. There are fewer than payloads if it was enough.
        progress
            How far the last of those has been read; None if to its end.
        """
        waiting = _Waiting(1 if one_by_one else _CHUNK, on_together or _nobody)
        read: list[list[Outcome]] = []
        progress: ResumeCursor | None = None
        for index, payload in enumerate(payloads):
            if index and enough is not None and enough():
                break
            reading = _Reading(
                index,
                begin[index] if begin else BEGINNING,
                enough or _never,
                on_item or _nobody,
                skip[index] if skip else (),
            )
            outcomes, progress = self._outcomes(payload, reading, on_open or _nobody, waiting)
            read.append(outcomes)
            if progress is not None:
                break
        self._classify(waiting)
        return read, progress

    def _outcomes(
        self, payload: bytes, reading: _Reading, on_open: OnOpen, waiting: _Waiting
    ) -> tuple[list[Outcome], ResumeCursor | None]:
        """Give one outcome for each item; its reading is filled in when its turn comes."""
        reading.on_item(reading.payload, reading.items)
        try:
            opened = open_payload(payload, self._limits)
            if not reading.items:
                on_open(reading.payload, opened)
        except Exception as cause:  # a fault of ours in a walk costs this payload, not the batch
            if reading.items:
                raise  # it has been opened before: items are answered already, and it cannot fail as a whole any more
            return [Outcome(error=unforeseen("Opening the payload", cause))], None
        if not opened.is_image:
            return self._entries(opened, reading, waiting)
        outcome = Outcome("image")
        if 0 not in reading.skip:
            outcome.error = self._decode(payload, outcome, waiting, _nobody)
        return [outcome], None

    def _entries(
        self, opened: Payload, reading: _Reading, waiting: _Waiting
    ) -> tuple[list[Outcome], ResumeCursor | None]:
        """Give the outcomes of an archive's entries until it is enough."""
        most_kept_bytes = self._limits.kept_ratio * opened.size_bytes + _KEPT_BYTES
        outcomes: list[Outcome] = []
        items = opened.items(reading.items)
        while reading.items < opened.count:
            if outcomes and reading.enough():
                return outcomes, reading.progress(opened.count)
            reading.on_item(reading.payload, reading.items)  # before it is inflated, which may be what goes wrong
            outcome = self._entry(next(items), reading, waiting)
            size_bytes = len(outcome.data or b"")
            if reading.kept_bytes + size_bytes > most_kept_bytes:
                outcome.data = None
                outcome.left_out = (
                    f"the failed entries of this archive take more than {self._limits.kept_ratio} times its own bytes"
                )
            else:
                reading.kept_bytes += size_bytes
            outcomes.append(outcome)
            reading.items += 1
        return outcomes, None

    def _entry(self, item: Item, reading: _Reading, waiting: _Waiting) -> Outcome:
        """Decode one entry and let it wait for its chunk; or say what is wrong with it."""
        outcome = Outcome("entry", item.name, error=item.error)
        touch = item.index not in reading.skip
        if touch and item.error is None and item.data is not None:
            outcome.error = self._decode(item.data, outcome, waiting, lambda cost: self._admit(reading, cost))
        if outcome.error is not None or not touch:
            outcome.data, outcome.left_out = item.data, item.left_out
        return outcome

    def _admit(self, reading: _Reading, cost_bytes: int) -> None:
        """Count what an entry costs. The first one that is too much costs nothing more, nor do those behind it."""
        reading.cost_bytes += cost_bytes
        if reading.cost_bytes > self._limits.archive_decoded_bytes:
            raise ArchiveTooCostly(
                f"The images of the archive decode to more than {self._limits.archive_decoded_bytes:,} bytes; "
                "this entry is beyond them."
            )

    def _decode(self, data: bytes, outcome: Outcome, waiting: _Waiting, admit: Admit) -> EngineError | None:
        """Turn bytes into a picture that waits; return what went wrong."""
        try:
            waiting.pictures.append(decode(data, self._limits, admit))
        except Exception as cause:  # noqa: BLE001  # whatever a decoder raises is this image's fault, not the batch's
            return unforeseen("Decoding the image", cause)
        waiting.outcomes.append(outcome)
        waiting.pixels += waiting.pictures[-1].pixels.size
        if len(waiting.outcomes) == waiting.most or waiting.pixels > _WAITING_VALUES:
            self._classify(waiting)
        return None

    def _classify(self, waiting: _Waiting) -> None:
        """Read the digits of all pictures that wait."""
        if not waiting.outcomes:
            return
        if waiting.most > 1:
            waiting.on_together()
        readings = self._classifier.classify(self._classifier.see(waiting.pictures))
        for outcome, reading in zip(waiting.outcomes, readings, strict=True):
            outcome.reading = reading
        waiting.pictures.clear()
        waiting.outcomes.clear()
        waiting.pixels = 0


def _never() -> bool:
    """Stand in for `enough`."""
    return False


def _nobody(*_: object) -> None:
    """Stand in for whoever might want to be told."""


def _ruled(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rule a line from edge to edge through a page."""
    ruled = page.copy()
    ruled[len(page) // 3] = _RULING
    return ruled


def _framed(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a frame around what a page shows."""
    framed = page.copy()
    framed[[3, -4], 3:-3] = _RULING
    framed[3:-3, [3, -4]] = _RULING
    return framed


def _with_dark_edge(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Darken one side of a page, as a scanner does beside the paper."""
    dark = page.copy()
    dark[:, :4] = 0
    return dark
