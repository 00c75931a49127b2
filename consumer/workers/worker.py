"""A worker process: payloads in, encoded results out.

greet     arrange to end with the parent; load and warm the model, whose canaries must be read as recorded; then limit
          address space, files, core dumps and standard error, since from here on it reads untrusted bytes
answer    read the payloads of a batch through the engine, for as long as a slice may take; encode one result per item

The engine's errors become codes of the contract here, once. What an item does wrong fails that item
alone; what kills this process is the business of `consumer.workers.quarantine`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from consumer.workers.protocol import (
    LENGTH,
    SLICE_S,
    START,
    START_FRAME_BYTES,
    TASKS,
    WHOLE_RECORD,
    Answer,
    Answers,
    Compiling,
    FailedItem,
    FrameTooLongError,
    Note,
    Ready,
    Refusal,
    Start,
    Task,
    Timings,
    body_bytes,
    frame,
)
from consumer.workers.sealed_memory import content_of
from contract import records
from contract.errors import ErrorCode
from contract.records import SCHEMA_VERSION, Status
from engine.codecs.payload import Payload
from engine.compiled import cache_problem, compilation_reported
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.classifier import Classifier, Reading
from engine.model.files import ModelError, ModelFiles
from engine.reader import Outcome, Reader

PR_SET_PDEATHSIG: Final = 1
RESULT_ROOM_BYTES: Final = 512
"""Beside all that can be foreseen of a result: its error message and the record around it."""
LETTER_BYTES: Final = 512
"""What a dead letter takes in memory beside the bytes of its item."""


class Answerer:
    """Turns tasks into answers. Owner: the worker's only loop."""

    def __init__(
        self, reader: Reader, model: dict[str, str], note: Note, *, results_bytes: int, record_timeout_s: float
    ) -> None:
        self._reader = reader
        self._model = model
        self._note = note
        self._results_bytes = results_bytes
        self._record_timeout_s = record_timeout_s
        self._encode = msgspec.json.Encoder().encode

    def answer(self, tasks: list[Task]) -> Answers:
        """Answer the tasks of a batch, in order, until the slice is over; each goes on where it was.

        Batches of several lanes are joined, so one that was read in part may stand anywhere.
        """
        started_s, cpu_s = time.perf_counter(), time.process_time()
        places = [place for place, task in enumerate(tasks) if WHOLE_RECORD not in task.quarantined]

        def judge(payload: int, opened: Payload) -> None:
            self._refuse_too_much(tasks[places[payload]], opened)

        read, unfinished = self._reader.resume(
            [tasks[place].payload for place in places],
            resume_from=[tasks[place].resume_from for place in places],
            should_stop=lambda: time.process_time() - cpu_s > SLICE_S,
            on_item=lambda payload, item: self._note.write(places[payload], item),
            on_shared=self._note.write_together,
            isolate=any(task.isolate for task in tasks),
            on_open=judge,
            skip=[self._untouchable(tasks[place]) for place in places],
        )
        read_s = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        outcomes = dict(zip(places, read, strict=False))
        last = len(tasks) - 1 if len(read) == len(places) and unfinished is None else places[len(read) - 1]
        answers = []
        for place, task in enumerate(tasks[: last + 1]):
            items = outcomes.get(place, [Outcome()])  # one that may not be touched is answered as a whole
            count = unfinished.total if unfinished and place == last else task.resume_from.items + len(items)
            answers.append(self._encode_answer(task, items, count, now_ms))
        spent_s = time.process_time() - cpu_s
        if unfinished:
            unfinished = unfinished._replace(spent_s=tasks[last].resume_from.spent_s + spent_s)
        return Answers(answers, Timings(read_s - started_s, time.perf_counter() - read_s, spent_s), unfinished)

    def _is_overdue(self, task: Task) -> bool:
        """Return True if a record has used up its time, so that nothing more of it is read."""
        return task.resume_from.spent_s > self._record_timeout_s

    def _untouchable(self, task: Task) -> Collection[int]:
        return range(task.resume_from.items, sys.maxsize) if self._is_overdue(task) else task.quarantined

    def _refuse_too_much(self, task: Task, opened: Payload) -> None:
        """Refuse an archive whose results could take more bytes than the limit, before anything of it is read."""
        if opened.is_image:
            return
        longest = self._result(task, opened.count, opened.count, _LONGEST, None, now_ms=task.received_at_ms)
        each_bytes = len(self._encode(longest)) + task.echo_bytes + RESULT_ROOM_BYTES
        size_bytes = opened.count * each_bytes + sum(len(self._encode(name)) for name in opened.names())
        if size_bytes > self._results_bytes:
            raise ResultsTooLarge(
                f"The results of this record could take {size_bytes:,} bytes; "
                f"at most {self._results_bytes:,} are allowed."
            )

    def _encode_answer(self, task: Task, items: list[Outcome], count: int, now_ms: int) -> Answer:
        results = []
        failed_items = []
        recognised = unsure = size_bytes = 0
        for index, item in enumerate(items, start=task.resume_from.items):
            failure = None if item.reading is not None else self._failure(task, index, item)
            results.append(self._encode(self._result(task, index, count, item, failure, now_ms=now_ms)))
            size_bytes += len(results[-1])
            if failure is not None:
                failed_items.append(_failed_item(task, index, count, item, failure))
                size_bytes += LETTER_BYTES + len(item.data or b"")
            elif item.reading is not None and item.reading.status == "recognised":
                recognised += 1
            else:
                unsure += 1
        return Answer(results, failed_items, recognised, unsure, size_bytes)

    def _failure(self, task: Task, index: int, item: Outcome) -> _Failure:
        """Say why an item has no reading: the engine's word, or the service's verdict on what it was not to touch."""
        if item.error is not None:
            return _Failure(ErrorCode(item.error.code), str(item.error))
        verdict = task.quarantined.get(index) or task.quarantined.get(WHOLE_RECORD) or ErrorCode.RECORD_TIMEOUT
        return _Failure(ErrorCode(verdict), ErrorCode(verdict).sentence)

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
            "item": {"index": index, "count": count, "name": _name(task, item)},
            "status": Status.FAILED if reading is None else reading.status,
            "digit": None if reading is None else reading.digit,
            "confidence": None if reading is None else reading.confidence,
            "probabilities": None if reading is None else reading.probabilities,
            "reason": None if reading is None else reading.reason,
            "error": None if failure is None else {"code": failure.code, "message": failure.message},
            "model": self._model,
            "timing": {"received_at_ms": task.received_at_ms, "classified_at_ms": now_ms},
        }


class ResultsTooLarge(EngineError):  # noqa: N818  # as the engine's own
    """What would be published about the items of an archive takes more than `EchoSettings.results_bytes`."""

    code = str(ErrorCode.RESULTS_TOO_LARGE)


_LONGEST: Final = Outcome(reading=Reading("recognised", 9, 0.1234, [0.1234] * 10, "low-confidence"))
"""Nothing takes more room in a result than a reading, save the name and an error's message."""


class _Failure(NamedTuple):
    code: ErrorCode
    message: str


def _name(task: Task, item: Outcome) -> str | None:
    """Name an item: the entry by its archive, a single image by its request, a request that failed as a whole not."""
    return task.filename if item.of == "image" else item.name


def _failed_item(task: Task, index: int, count: int, item: Outcome, failure: _Failure) -> FailedItem:
    whole = item.of != "entry"
    return FailedItem(index, count, _name(task, item), failure.code, failure.message, whole, item.data, item.left_out)


def main() -> None:
    """Serve one channel until it closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of a connected socket")
    parser.add_argument("--note", type=int, required=True, help="file descriptor of the memory for notes")
    parser.add_argument("--model", type=int, required=True, help="file descriptor of the model's arrays")
    arguments = parser.parse_args()
    _die_with_parent()
    channel = socket.socket(fileno=arguments.channel)
    note = Note(memoryview(mmap.mmap(arguments.note, Note.SIZE_BYTES)))
    # The service has ended, or does not speak as it should: so do we.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError, FrameTooLongError):
        start = START.decode(_receive(channel, START_FRAME_BYTES))
        with compilation_reported(lambda done, total: channel.sendall(frame(Compiling(done, total, cache_problem())))):
            try:
                classifier = Classifier.load_files(_model_files(start, arguments.model))
            except ModelError as error:
                channel.sendall(frame(Refusal(str(error))))
                return
            reader = Reader(classifier, Limits(**start.limits))
            reader.warm_up()
        _limit_resources(start.memory_bytes)
        _discard_standard_error()
        info = classifier.info
        model = {"name": info.name, "version": info.version, "sha256": info.sha256}
        answerer = Answerer(
            reader, model, note, results_bytes=start.results_bytes, record_timeout_s=start.record_timeout_s
        )
        channel.sendall(frame(Ready()))
        while True:
            channel.sendall(frame(answerer.answer(TASKS.decode(_receive(channel, start.memory_bytes)))))


def _model_files(start: Start, arrays: int) -> ModelFiles:
    """Take the model from the service; its files may have changed since that read them."""
    files = ModelFiles.checked(Path(start.model_folder), start.manifest_json, content_of(arrays))
    os.close(arrays)
    return files


def _receive(channel: socket.socket, most_bytes: int) -> bytearray:
    header = _receive_exactly(channel, LENGTH.size)
    return _receive_exactly(channel, body_bytes(header, most_bytes))


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
    C code that holds the interpreter; it fires when the *thread* that forked ends, so both are needed.
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


def _limit_resources(memory_bytes: int) -> None:
    """Limit what untrusted bytes can do in this process: no core dumps, no files, bounded memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        size_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = size_bytes + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _discard_standard_error() -> None:
    """Discard standard error: decoders written in C print what they read there, with control characters.

    The interpreter's fault handler still reports a crash there: it names functions and lines, and no data.
    """
    reported = os.dup(sys.stderr.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)
    faulthandler.enable(reported)


if __name__ == "__main__":
    main()
