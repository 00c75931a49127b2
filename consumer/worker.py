"""A worker process: payloads in, encoded results out.

greet     die with the parent; load and warm the model, whose canaries must come out as recorded; close
          the door behind (address space, files, core dumps), since what follows reads untrusted bytes
answer    read all payloads of a batch through the engine, encode one result per item

The engine's errors become codes of the contract here, once. What an item does wrong fails that item
alone; what kills this process is the business of `consumer.pool`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from consumer.channel import (
    LENGTH,
    START,
    TASKS,
    WHOLE_RECORD,
    Answer,
    Answers,
    DeadLetter,
    Note,
    Ready,
    Refusal,
    Task,
    Timings,
    frame,
)
from contract import records
from contract.errors import ErrorCode
from contract.records import SCHEMA_VERSION, Status
from engine.classifier import Classifier
from engine.limits import Limits
from engine.model import ModelError
from engine.reader import Outcome, Reader

PR_SET_PDEATHSIG: Final = 1


class Answerer:
    """Turns tasks into answers. Owner: the worker's only loop."""

    def __init__(self, reader: Reader, model: dict[str, str], note: Note) -> None:
        self._reader = reader
        self._model = model
        self._note = note
        self._encode = msgspec.json.Encoder().encode

    def answer(self, tasks: list[Task]) -> Answers:
        """Answer every task of a batch, in order."""
        started_s = time.perf_counter()
        places = [place for place, task in enumerate(tasks) if WHOLE_RECORD not in task.condemned]
        outcomes = iter(
            self._reader.read(
                [tasks[place].payload for place in places],
                lambda payload, item: self._note.write(places[payload], item),
                [tasks[place].condemned for place in places],
            )
        )
        read_s = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        answers = [
            self._encode_answer(task, [Outcome()] if WHOLE_RECORD in task.condemned else next(outcomes), now_ms)
            for task in tasks
        ]
        return Answers(answers, Timings(read_s - started_s, time.perf_counter() - read_s))

    def _encode_answer(self, task: Task, items: list[Outcome], now_ms: int) -> Answer:
        results = []
        dead_letters = []
        recognised = unsure = 0
        for index, item in enumerate(items):
            failure = None if item.reading is not None else _failure(task, index, item)
            results.append(self._encode(self._result(task, index, len(items), item, failure, now_ms=now_ms)))
            if failure is not None:
                dead_letters.append(_dead_letter(task, index, len(items), item, failure))
            elif item.reading is not None and item.reading.status == "recognised":
                recognised += 1
            else:
                unsure += 1
        return Answer(results, dead_letters, recognised, unsure)

    def _result(
        self, task: Task, index: int, count: int, item: Outcome, failure: _Failure | None, *, now_ms: int
    ) -> dict[str, object]:
        reading = item.reading
        return {
            "schema": SCHEMA_VERSION,
            "result_id": records.result_id(task.topic, task.partition, task.offset, index),
            "request_id": task.request_id or records.request_id(task.topic, task.partition, task.offset),
            "source": {
                "topic": task.topic,
                "partition": task.partition,
                "offset": task.offset,
                "timestamp_ms": task.timestamp_ms,
            },
            "item": {"index": index, "count": count, "name": task.filename if item.name is None else item.name},
            "status": Status.FAILED if reading is None else reading.status,
            "digit": None if reading is None else reading.digit,
            "confidence": None if reading is None else reading.confidence,
            "probabilities": None if reading is None else reading.probabilities,
            "reason": None if reading is None else reading.reason,
            "error": None if failure is None else {"code": failure.code, "message": failure.message},
            "model": self._model,
            "timing": {"received_at_ms": task.received_at_ms, "classified_at_ms": now_ms},
        }


class _Failure(NamedTuple):
    code: ErrorCode
    message: str


def _failure(task: Task, index: int, item: Outcome) -> _Failure:
    """Say why an item has no reading: the engine's word, or the service's verdict on what it was not to touch."""
    if item.error is not None:
        return _Failure(ErrorCode(item.error.code), str(item.error))
    verdict = ErrorCode(task.condemned.get(index) or task.condemned[WHOLE_RECORD])
    return _Failure(verdict, verdict.sentence)


def _dead_letter(task: Task, index: int, count: int, item: Outcome, failure: _Failure) -> DeadLetter:
    whole = item.name is None  # an entry of an archive has a name, always
    name = task.filename if whole else item.name
    return DeadLetter(index, count, name, failure.code, failure.message, whole, item.data, item.left_out)


def main() -> None:
    """Serve one channel until it closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of a connected socket")
    parser.add_argument("--note", type=int, required=True, help="file descriptor of the memory for notes")
    arguments = parser.parse_args()
    _die_with_parent()
    channel = socket.socket(fileno=arguments.channel)
    note = Note(memoryview(mmap.mmap(arguments.note, Note.SIZE_BYTES)))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):  # the service has ended: so do we
        start = START.decode(_receive(channel))
        try:
            classifier = Classifier.load(Path(start.model))
        except ModelError as error:
            channel.sendall(frame(Refusal(str(error))))
            return
        reader = Reader(classifier, Limits(**start.limits))
        reader.warm_up()
        _close_the_door(start.memory_bytes)
        info = classifier.info
        answerer = Answerer(reader, {"name": info.name, "version": info.version, "sha256": info.sha256}, note)
        channel.sendall(frame(Ready(info.name, info.version, info.sha256)))
        while True:
            channel.sendall(frame(answerer.answer(TASKS.decode(_receive(channel)))))


def _receive(channel: socket.socket) -> bytearray:
    header = _receive_exactly(channel, LENGTH.size)
    return _receive_exactly(channel, LENGTH.unpack(header)[0])


def _receive_exactly(channel: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    received = 0
    while received < size:
        part = channel.recv_into(view[received:])
        if part == 0:
            raise EOFError
        received += part
    return buffer


def _die_with_parent() -> None:
    """End when the service ends, however it ends, even in the middle of an item.

    Standard input is a pipe that only the service holds open. The death signal covers a worker stuck in
    C code that holds the interpreter; it fires when the *thread* that forked ends, hence both.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the service decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait_for_the_end() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=wait_for_the_end, name="parent watch", daemon=True).start()


def _close_the_door(memory_bytes: int) -> None:
    """Bound what untrusted bytes may make this process take: no core dumps, no files, bounded memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        size_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = size_bytes + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
