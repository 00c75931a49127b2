"""The messages between the service and its worker processes, and their framing.

A frame is a four-byte length and a MessagePack document of a known type. Workers decode untrusted images, so the
service never unpickles what a worker sends, and checks it: `consumer.workers.processes.checking`.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from consumer.workers.tasks import Answers, Task
from engine.model.files import MANIFEST_BYTES

LENGTH: Final = struct.Struct("!I")

START_FRAME_BYTES: Final = 3 * MANIFEST_BYTES
"""The longest frame before both sides know the worker's memory limit: two manifests and the fields around them."""


class Rules(msgspec.Struct, frozen=True):
    """By what a worker answers records: the limits in the settings, and what the service wants to know."""

    limits: dict[str, int]
    """Of the engine."""
    key_bytes: int
    header_bytes: int
    headers: int
    results_bytes: int
    dead_letters_bytes: int
    """These five as in `EchoSettings`."""
    inflated_bytes: int
    """The most bytes of a compressed batch when it is inflated."""
    record_timeout_s: float
    reports_failed_items: bool = False
    reports_sampled: bool = False
    sender_header: str = ""
    """Names the sender of a record; empty if none does."""
    challenger_share: float = 0.0
    """Of the pictures, that the challenger reads; unused without one."""
    reports_disputed: bool = False


class StartModel(msgspec.Struct, frozen=True):
    """A model to load. Its arrays are not in the frame: the worker inherits their memory."""

    folder: str
    """The folder that the model was read from; used only in messages."""
    manifest_json: bytes


class Start(msgspec.Struct, frozen=True):
    """The first frame to a worker."""

    model: StartModel
    memory_bytes: int
    rules: Rules
    challenger: StartModel | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Sent by a worker when the model is loaded and its canaries are read as recorded."""

    challenger_problem: str = ""
    """Why the challenger is not used; empty if it is, or if there is none."""


class Compiling(msgspec.Struct, frozen=True, tag=True):
    """Sent before `Ready`, while the engine's loops are compiled. After the first one it waits for `Compile`."""

    done: int
    total: int
    not_kept: str | None = None
    """Why the compiled code cannot be stored, so that the next process compiles again; None if it is stored."""


class Compile(msgspec.Struct, frozen=True, tag=True):
    """The answer to the first `Compiling` of a worker: it may compile what it does not find in the cache."""


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Sent instead of `Ready`, with the reason why this worker cannot serve, in one sentence."""

    why: str


TASKS: Final = msgspec.msgpack.Decoder(list[Task])
ANSWERS: Final = msgspec.msgpack.Decoder(Answers)
START: Final = msgspec.msgpack.Decoder(Start)
COMPILE: Final = msgspec.msgpack.Decoder(Compile)

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
