"""The messages between the service and its worker processes, and their framing.

A frame is a four-byte length and a MessagePack document of a known type. Workers decode untrusted images, so the
service never unpickles what a worker sends.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from engine.model.files import MANIFEST_BYTES
from engine.resume_cursor import BEGINNING, ResumeCursor

LENGTH: Final = struct.Struct("!I")

START_FRAME_BYTES: Final = 2 * MANIFEST_BYTES
"""The longest frame before both sides know the worker's memory limit: a manifest and the fields around it."""

SLICE_S: Final = 0.5
"""Processor time of a slice. A batch that takes longer is returned unfinished, between two items, so that batches of
other lanes are not delayed."""
WHOLE_RECORD: Final = -1
"""Used as an index of quarantined items: no part of the record is read, and it is answered as one failed item."""


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a request that a worker needs."""

    payload: bytes
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    received_at_ms: int
    request_id: str | None
    filename: str | None
    quarantined: dict[int, str] = {}
    """Error codes of the items that must not be read, since they have ended a worker; by item index."""
    trace_id: str | None = None
    """Id of the sender's trace, for log lines about the record."""
    echo_bytes: int = 0
    """Bytes of the key and headers that are copied to each result."""
    resume_from: ResumeCursor = BEGINNING
    """Position up to which the record was read in earlier slices."""
    isolate: bool = False
    """True if a worker died while it had this record. Then all items of the batch are read one at a time."""


class FailedItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item without a prediction: the parts of its dead letter that are not in the request."""

    index: int
    count: int
    name: str | None
    code: str
    message: str
    whole: bool
    """True if the item is the whole record. Then `data` is None, and the dead letter gets the record's value."""
    data: bytes | None
    left_out: str | None
    """Why the dead letter has no bytes; None if it has."""


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is published for one request."""

    results: list[bytes]
    """Encoded result records, in item order; at least one."""
    failed_items: list[FailedItem]
    recognised: int
    unsure: int
    size_bytes: int
    """Bytes that the answer takes in the service's memory until it is published."""

    def followed_by(self, rest: Answer) -> Answer:
        """Join the answers of two slices of one record. Do not use this object afterwards: its lists are reused."""
        self.results.extend(rest.results)
        self.failed_items.extend(rest.failed_items)
        return Answer(
            self.results,
            self.failed_items,
            self.recognised + rest.recognised,
            self.unsure + rest.unsure,
            self.size_bytes + rest.size_bytes,
        )


class Start(msgspec.Struct, frozen=True):
    """The first frame to a worker. The model's arrays are not in it: the worker inherits their memory."""

    model_folder: str
    """The folder that the model was read from; used only in messages."""
    manifest_json: bytes
    limits: dict[str, int]
    results_bytes: int
    memory_bytes: int
    record_timeout_s: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Sent by a worker when the model is loaded and its canaries are read as recorded."""


class Compiling(msgspec.Struct, frozen=True, tag=True):
    """Sent before `Ready`, while the engine's loops are compiled."""

    done: int
    total: int
    not_kept: str | None = None
    """Why the compiled code cannot be stored, so that the next process compiles again; None if it is stored."""


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Sent instead of `Ready`, with the reason why this worker cannot serve, in one sentence."""

    why: str


class Timings(msgspec.Struct, frozen=True, array_like=True):
    """Seconds that a batch spent in a worker."""

    read_s: float
    encode_s: float
    cpu_s: float
    """Processor time of the batch; it does not depend on how busy the machine is."""


class Answers(msgspec.Struct, frozen=True):
    """The answers to a batch of tasks, in their order: at least one, and fewer than tasks if the slice was over."""

    answers: list[Answer]
    timings: Timings
    unfinished: ResumeCursor | None = None
    """Position up to which the last record was read, if its answer is incomplete; otherwise None."""


TASKS: Final = msgspec.msgpack.Decoder(list[Task])
ANSWERS: Final = msgspec.msgpack.Decoder(Answers)
START: Final = msgspec.msgpack.Decoder(Start)

_ENCODER: Final = msgspec.msgpack.Encoder()
START_REPLY: Final = msgspec.msgpack.Decoder(Ready | Refusal | Compiling)


def frame(message: object) -> bytearray:
    """Encode a message after its length, without copying the message: it may have many megabytes."""
    framed = bytearray(LENGTH.size)
    _ENCODER.encode_into(message, framed, LENGTH.size)
    LENGTH.pack_into(framed, 0, len(framed) - LENGTH.size)
    return framed


class FrameTooLongError(Exception):
    """A length that no frame can have: the sender does not follow this protocol."""


def body_bytes(header: bytes | bytearray, most_bytes: int) -> int:
    """Return the length of the frame after this header. Call it before memory is allocated for the frame.

    Raises
    ------
    FrameTooLongError
        The length is above `most_bytes`.
    """
    length: int = LENGTH.unpack(header)[0]
    if length > most_bytes:
        raise FrameTooLongError(f"a frame of {length:,} bytes; at most {most_bytes:,} are possible")
    return length


class ProgressNote:
    """The item that a worker is reading, in memory that worker and service share.

    The worker writes it. The service reads it when the worker dies or makes no progress, so that it knows the item that
    caused this. If the service reads during a write, the worst case is one unnecessary retry.
    """

    SIZE_BYTES: Final = 4096
    _layout: Final = struct.Struct("=QII")
    _NOTHING: Final = 0xFFFF_FFFF
    _MANY_ITEMS: Final = 0xFFFF_FFFE

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._progress = 0

    def write(self, task: int, item: int) -> None:
        """Worker: note that it will now read item `item` of task `task`."""
        self._progress += 1
        self._layout.pack_into(self._memory, 0, self._progress, task, item)

    def write_many_items(self) -> None:
        """Worker: note that it will now read many items of the batch at once."""
        self.write(self._MANY_ITEMS, 0)

    def clear(self) -> None:
        """Service: note, before it sends a batch, that no item of it was read."""
        self._layout.pack_into(self._memory, 0, 0, self._NOTHING, 0)

    def progress(self) -> int:
        """Service: return a number that changes with every note."""
        return int(self._layout.unpack_from(self._memory, 0)[0])

    def position(self) -> tuple[int, int] | None:
        """Service: return task and item of the last note; None if no item, or many items at once, were read."""
        _, task, item = self._layout.unpack_from(self._memory, 0)
        return None if task in (self._NOTHING, self._MANY_ITEMS) else (task, item)

    def is_on_many_items(self) -> bool:
        """Service: return whether many items of the batch were read at once."""
        return bool(self._layout.unpack_from(self._memory, 0)[1] == self._MANY_ITEMS)
