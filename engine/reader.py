"""Reads payloads into outcomes: the interface for the service, the command line and a notebook.

open      find out what each payload is: one image, or an archive of images
decode    decode one image after the other; an error concerns that image alone
canvas    normalise small pictures in batches; a large picture at once, so that its pixels can be freed
classify  classify 256 digits at a time across payloads; or each alone, to find the one that crashes the process

A caller that has other work waiting reads in slices: `Reader.resume` stops between two items when `should_stop` returns
true, and continues there in the next call. The outcomes are the same as without a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.canvas.png import as_png
from engine.codecs.decode import Picture, decode
from engine.codecs.payload import Item, Payload, open_payload
from engine.codecs.pixels.room import Charge, free
from engine.errors import ArchiveTooCostly, EngineError, as_engine_error
from engine.limits import Limits
from engine.model.classifier import Classifier, Reading
from engine.resume_cursor import BEGINNING, ResumeCursor
from engine.warm_up import warm_up_pictures

_BATCH_SIZE = 256
_BATCH_VALUES = 2_000_000  # pixels times channels that decoded pictures of a batch may hold in memory
_KEPT_BYTES = 64 * 1024  # in addition to `Limits.kept_ratio` for each byte of the archive

OnItem = Callable[[int, int], None]
"""Called with the payload's and the item's index before the item is touched."""
OnShared = Callable[[], None]
"""Called before a batch is classified: until the next `OnItem`, many items are touched at once."""
OnOpen = Callable[[int, Payload], None]
"""Called with the payload's index and content list before an item of it is touched; may raise an `EngineError`."""


@dataclass(slots=True)
class Outcome:
    """The result for one image, or for a payload as a whole."""

    of: Literal["payload", "image", "entry"] = "payload"
    """payload: it could not be opened; image: the payload is one image; entry: one entry of an archive."""
    name: str | None = None
    """The archive entry's name; None for a payload that is no archive, and where the name is too long."""
    reading: Reading | None = None
    """None exactly if `error` is set."""
    error: EngineError | None = None
    data: bytes | None = None
    """The bytes of a failed archive entry."""
    left_out: str | None = None
    """Why a failed archive entry has no `data`."""
    seen: bytes | None = None
    """The picture as the model saw it, a PNG; only of an image for which it is to be kept."""


OnDecoded = Callable[[int, int, bytes, Outcome], None]
"""Called with the payload's and the item's index and the bytes of a picture that is going to be classified, and its
outcome, whose reading is filled in later."""


@dataclass(slots=True)
class _Batch:
    """Decoded pictures that are not classified yet, each with the outcome to fill in."""

    size: int
    on_shared: OnShared
    pictures: list[Picture] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    pixels: int = 0
    keep_seen: list[int] = field(default_factory=list)
    """The places of those that are to be kept as the model sees them."""


@dataclass(slots=True)
class _ReadState:
    """State of the archive that is being read: what it has used, and the callbacks."""

    payload: int
    resume_from: ResumeCursor
    should_stop: Callable[[], bool]
    on_item: OnItem
    on_decoded: OnDecoded
    skip: Collection[int]
    items: int = field(init=False)
    cost_bytes: int = field(init=False)
    kept_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.items, _, self.cost_bytes, self.kept_bytes, _ = self.resume_from

    def progress(self, count: int) -> ResumeCursor:
        return ResumeCursor(self.items, count, self.cost_bytes, self.kept_bytes)


class Reader:
    """Reads payloads with one classifier, within the limits. It keeps no state between calls."""

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self._classifier = classifier
        self._limits = limits

    def warm_up(self) -> None:
        """Read one picture of each kind, so that all compilation and allocation on first use is done afterwards."""
        self.read(warm_up_pictures())

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
        return self.resume(payloads)[0]

    def resume(
        self,
        payloads: Iterable[bytes],
        *,
        resume_from: Sequence[ResumeCursor] = (),
        should_stop: Callable[[], bool] | None = None,
        on_item: OnItem | None = None,
        on_shared: OnShared | None = None,
        isolate: bool = False,
        on_open: OnOpen | None = None,
        skip: Sequence[Collection[int]] = (),
        keep_seen: Collection[int] = (),
        on_decoded: OnDecoded | None = None,
    ) -> tuple[list[list[Outcome]], ResumeCursor | None]:
        """Read images until all are read or `should_stop` returns true; at least one image is read.

        Parameters
        ----------
        payloads
            Each an encoded image, or a zip archive of such.
        resume_from
            For each payload how far it has been read.
        should_stop
            Called between two items; true ends the call early.
        on_item
            Lets a supervisor know which item has caused a crash.
        on_shared
            Lets a supervisor know that any item of the batch may cause the next crash.
        isolate
            Touch one item at a time and never call `on_shared`; slower.
        on_open
            May refuse a payload because of what it holds.
        skip
            For each payload the items that must not be touched: their outcomes have neither reading nor error.
        keep_seen
            The indices of the payloads whose picture is kept as the model sees it, if they are single images. It is not
            kept of an archive, whose entries are many.
        on_decoded
            Lets a caller keep pictures that are read.

        Returns
        -------
        outcomes
            For each payload that was started: its images from `resume_from` on in the archive's order, or the failure
            of the payload as a whole. There are fewer than payloads if `should_stop` ended the call.
        progress
            How far the last of those has been read; None if it is finished.
        """
        batch = _Batch(1 if isolate else _BATCH_SIZE, on_shared or _ignore)
        read: list[list[Outcome]] = []
        progress: ResumeCursor | None = None
        for index, payload in enumerate(payloads):
            if index and should_stop is not None and should_stop():
                break
            begin = resume_from[index] if resume_from else BEGINNING
            skipped = skip[index] if skip else ()
            if on_item is not None:
                on_item(index, begin.items)
            opened = self._open(index, payload, begin, on_open)
            if isinstance(opened, EngineError):
                read.append([Outcome(error=opened)])
                continue
            if opened.is_image:
                outcome = self._image(payload, batch, touch=0 not in skipped, keep_seen=index in keep_seen)
                if on_decoded is not None and outcome.error is None and 0 not in skipped:
                    on_decoded(index, 0, payload, outcome)
                read.append([outcome])
                continue
            callbacks = should_stop or _never, on_item or _ignore, on_decoded or _ignore
            reading = _ReadState(index, begin, *callbacks, skipped)
            outcomes, progress = self._entries(opened, reading, batch)
            read.append(outcomes)
            if progress is not None:
                break
        self._classify(batch)
        return read, progress

    def _open(self, index: int, payload: bytes, begin: ResumeCursor, on_open: OnOpen | None) -> Payload | EngineError:
        """Open a payload, or return why it fails as a whole."""
        try:
            opened = open_payload(payload, self._limits)
            if on_open is not None and not begin.items:
                on_open(index, opened)
        except Exception as cause:  # an error of the engine must cost this payload only, not the batch
            if begin.items:
                raise  # some items are answered already, so the payload can no longer fail as a whole
            return as_engine_error("Opening the payload", cause)
        return opened

    def _image(self, payload: bytes, batch: _Batch, *, touch: bool, keep_seen: bool) -> Outcome:
        """Decode a single image; its reading is filled in when its batch is classified."""
        outcome = Outcome("image")
        if touch:
            outcome.error = self._decode(payload, outcome, batch, free, keep_seen=keep_seen)
        return outcome

    def _entries(
        self, opened: Payload, reading: _ReadState, batch: _Batch
    ) -> tuple[list[Outcome], ResumeCursor | None]:
        """Give the outcomes of an archive's entries until `should_stop` returns true."""
        most_kept_bytes = self._limits.kept_ratio * opened.size_bytes + _KEPT_BYTES
        outcomes: list[Outcome] = []
        items = opened.items(reading.items, lambda cost_bytes: self._charge(reading, cost_bytes))
        while reading.items < opened.count:
            if outcomes and reading.should_stop():
                return outcomes, reading.progress(opened.count)
            reading.on_item(reading.payload, reading.items)  # before the entry is inflated, since that may crash too
            outcome = self._entry(next(items), reading, batch)
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

    def _entry(self, item: Item, reading: _ReadState, batch: _Batch) -> Outcome:
        """Decode one entry into the batch, or record what is wrong with it."""
        outcome = Outcome("entry", item.name, error=item.error)
        touch = item.index not in reading.skip
        if touch and item.error is None and item.data is not None:
            outcome.error = self._decode(item.data, outcome, batch, lambda cost: self._charge(reading, cost))
        if outcome.error is not None or not touch:
            outcome.data, outcome.left_out = item.data, item.left_out
        elif item.data is not None and item.error is None:
            reading.on_decoded(reading.payload, item.index, item.data, outcome)
        return outcome

    def _charge(self, reading: _ReadState, cost_bytes: int) -> None:
        """Add up the cost of the entries: the first one over the limit, and all after it, are not decoded."""
        reading.cost_bytes += cost_bytes
        if reading.cost_bytes > self._limits.archive_decoded_bytes:
            raise ArchiveTooCostly(
                f"The images of the archive decode to more than {self._limits.archive_decoded_bytes:,} bytes; "
                "this entry is beyond them."
            )

    def _decode(
        self, data: bytes, outcome: Outcome, batch: _Batch, charge: Charge, *, keep_seen: bool = False
    ) -> EngineError | None:
        """Decode one image into the batch; return the error, if there is one."""
        try:
            batch.pictures.append(decode(data, self._limits, charge))
        except Exception as cause:  # noqa: BLE001  # any error of a decoder must cost this image only, not the batch
            return as_engine_error("Decoding the image", cause)
        if keep_seen:
            batch.keep_seen.append(len(batch.outcomes))
        batch.outcomes.append(outcome)
        batch.pixels += batch.pictures[-1].pixels.size
        if len(batch.outcomes) == batch.size or batch.pixels > _BATCH_VALUES:
            self._classify(batch)
        return None

    def _classify(self, batch: _Batch) -> None:
        """Classify all pictures of the batch and empty it."""
        if not batch.outcomes:
            return
        if batch.size > 1:
            batch.on_shared()
        canvas = self._classifier.prepare(batch.pictures)
        readings = self._classifier.classify(canvas)
        for outcome, reading in zip(batch.outcomes, readings, strict=True):
            outcome.reading = reading
        for place in batch.keep_seen:
            batch.outcomes[place].seen = as_png(canvas.digits[place])
        batch.pictures.clear()
        batch.outcomes.clear()
        batch.keep_seen.clear()
        batch.pixels = 0


def _never() -> bool:
    """Stand in for `should_stop`."""
    return False


def _ignore(*_: object) -> None:
    """Stand in for a callback that was not given."""
