"""What service and worker processes say to each other, and in which frames.

A frame is a four-byte length and a MessagePack document of a known type. Workers decode untrusted
pictures, so nothing that comes from them is unpickled.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from engine.model.files import MANIFEST_BYTES
from engine.resume_cursor import BEGINNING, ResumeCursor

LENGTH: Final = struct.Struct("!I")

START_FRAME_BYTES: Final = 2 * MANIFEST_BYTES
"""The longest frame before both sides know the worker's memory: a manifest, and what stands around it."""

SLICE_S: Final = 0.5
"""Of processor time. A batch that takes longer returns unfinished, between two items, and others are served."""
WHOLE_RECORD: Final = -1
"""Among quarantined items: nothing of the record may be touched, and it is answered as one failed item."""


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request, as the worker needs it."""

    payload: bytes
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    received_at_ms: int
    request_id: str | None
    filename: str | None
    quarantined: dict[int, str] = {}
    """Items, by index, that must not be touched since they ended a worker: their error codes."""
    trace_id: str | None = None
    """Of the sender's trace: for log lines about the record."""
    echo_bytes: int = 0
    """Key and headers that each result brings along."""
    resume_from: ResumeCursor = BEGINNING
    """How far the record was read in earlier slices."""
    isolate: bool = False
    """True if a worker has died while it had this record: the items of its batch are read one at a time."""


class FailedItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item without a prediction: what its dead letter needs beside the request."""

    index: int
    count: int
    name: str | None
    code: str
    message: str
    whole: bool
    """True if the item is the record itself; `data` is then None and the record's own value serves."""
    data: bytes | None
    left_out: str | None
    """Why there are no bytes."""


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is to be published for one request."""

    results: list[bytes]
    """Encoded result records, in item order; at least one."""
    failed_items: list[FailedItem]
    recognised: int
    unsure: int
    size_bytes: int
    """What of it lies in the service's memory until it is published."""

    def followed_by(self, rest: Answer) -> Answer:
        """Join the answers of two slices of one record; this one is used up."""
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
    """The first frame to a worker. The arrays of the model are in memory that it inherits."""

    model_folder: str
    """Where the model was read: for messages alone."""
    manifest_json: bytes
    limits: dict[str, int]
    results_bytes: int
    memory_bytes: int
    record_timeout_s: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker's first frame: the model is loaded, its canaries came out as recorded."""


class Compiling(msgspec.Struct, frozen=True, tag=True):
    """Before `Ready`, while the engine's loops are compiled."""

    done: int
    total: int
    not_kept: str | None = None
    """Why the next process will have to compile again; None if it need not."""


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Instead of `Ready`: why this worker cannot serve, in one sentence."""

    why: str


class Timings(msgspec.Struct, frozen=True, array_like=True):
    """Seconds that a batch spent in a worker."""

    read_s: float
    encode_s: float
    cpu_s: float
    """Of processor time: what the batch has cost, however busy the machine is."""


class Answers(msgspec.Struct, frozen=True):
    """The answers to a batch of tasks, in their order: at least one, and fewer than tasks where it took too long."""

    answers: list[Answer]
    timings: Timings
    unfinished: ResumeCursor | None = None
    """How far the last record was read: its answer is not whole yet. None if it is."""


TASKS: Final = msgspec.msgpack.Decoder(list[Task])
ANSWERS: Final = msgspec.msgpack.Decoder(Answers)
START: Final = msgspec.msgpack.Decoder(Start)

_ENCODER: Final = msgspec.msgpack.Encoder()
GREETING: Final = msgspec.msgpack.Decoder(Ready | Refusal | Compiling)


def frame(message: object) -> bytearray:
    """Encode a message with its length in front, without a copy of what may be many megabytes."""
    framed = bytearray(LENGTH.size)
    _ENCODER.encode_into(message, framed, LENGTH.size)
    LENGTH.pack_into(framed, 0, len(framed) - LENGTH.size)
    return framed


class FrameTooLongError(Exception):
    """A length that no frame can have: who sent it does not speak this protocol, or has lost its place."""


def body_bytes(header: bytes | bytearray, most_bytes: int) -> int:
    """Return the length of the frame that begins with this header, before anything is allocated for it.

    Raises
    ------
    FrameTooLongError
        It is longer than any frame can be.
    """
    length: int = LENGTH.unpack(header)[0]
    if length > most_bytes:
        raise FrameTooLongError(f"a frame of {length:,} bytes; at most {most_bytes:,} are possible")
    return length


class Note:
    """Where a worker notes the item it is on, in memory that both sides map.

    The service reads it when the worker dies or does not move, so the guilty item is known at once.
    Written by the worker, read by the service; a torn read costs one needless repetition.
    """

    SIZE_BYTES: Final = 4096
    _layout: Final = struct.Struct("=QII")
    _NOTHING: Final = 0xFFFF_FFFF
    _TOGETHER: Final = 0xFFFF_FFFE

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._progress = 0

    def write(self, task: int, item: int) -> None:
        """Worker: item `item` of task `task` is about to be touched."""
        self._progress += 1
        self._layout.pack_into(self._memory, 0, self._progress, task, item)

    def write_together(self) -> None:
        """Worker: many items of the batch are about to be touched at once."""
        self.write(self._TOGETHER, 0)

    def clear(self) -> None:
        """Service, before it hands over a batch: nothing of it has been touched."""
        self._layout.pack_into(self._memory, 0, 0, self._NOTHING, 0)

    def progress(self) -> int:
        """Service: a number that changes with every note."""
        return int(self._layout.unpack_from(self._memory, 0)[0])

    def position(self) -> tuple[int, int] | None:
        """Service: task and item last noted; None if nothing of the batch was touched, or many items at once."""
        _, task, item = self._layout.unpack_from(self._memory, 0)
        return None if task in (self._NOTHING, self._TOGETHER) else (task, item)

    def is_together(self) -> bool:
        """Service: many items of the batch were touched at once."""
        return bool(self._layout.unpack_from(self._memory, 0)[1] == self._TOGETHER)
