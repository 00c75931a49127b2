"""A worker process: reads payloads with the engine, and encodes the results.

start     exit when the parent exits; load and warm up the model, and check its canaries; then limit address space,
          files, core dumps and standard error, since from now on the process reads untrusted bytes
answer    read the payloads of a batch with the engine until the slice is over; encode one result per item

Only this module turns the engine's errors into error codes of the contract. An error of an item fails that item only.
`consumer.workers.quarantine` handles items that end the process.
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
    ProgressNote,
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
RESULT_OVERHEAD_BYTES: Final = 512
"""Added to the computed size of a result, for its error message and the record around it."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 512
"""Memory of a dead letter in addition to the bytes of its item."""


class BatchProcessor:
    """Turns a batch of tasks into answers. Owner: the main loop of the worker."""

    def __init__(
        self, reader: Reader, model: dict[str, str], note: ProgressNote, *, results_bytes: int, record_timeout_s: float
    ) -> None:
        self._reader = reader
        self._model = model
        self._note = note
        self._results_bytes = results_bytes
        self._record_timeout_s = record_timeout_s
        self._encode = msgspec.json.Encoder().encode

    def answer(self, tasks: list[Task]) -> Answers:
        """Answer the tasks of a batch, in order, until the slice is over. Each task continues where it stopped.

        Jobs of several lanes are joined to one batch, so a partly read task may be at any place.
        """
        started_s, cpu_s = time.perf_counter(), time.process_time()
        places = [place for place, task in enumerate(tasks) if WHOLE_RECORD not in task.quarantined]

        def judge(payload: int, opened: Payload) -> None:
            self._check_results_size(tasks[places[payload]], opened)

        read, unfinished = self._reader.resume(
            [tasks[place].payload for place in places],
            resume_from=[tasks[place].resume_from for place in places],
            should_stop=lambda: time.process_time() - cpu_s > SLICE_S,
            on_item=lambda payload, item: self._note.write(places[payload], item),
            on_shared=self._note.write_many_items,
            isolate=any(task.isolate for task in tasks),
            on_open=judge,
            skip=[self._items_to_skip(tasks[place]) for place in places],
        )
        read_s = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        outcomes = dict(zip(places, read, strict=False))
        last = len(tasks) - 1 if len(read) == len(places) and unfinished is None else places[len(read) - 1]
        answers = []
        for place, task in enumerate(tasks[: last + 1]):
            items = outcomes.get(place, [Outcome()])  # a record that must not be read is one item
            count = unfinished.total if unfinished and place == last else task.resume_from.items + len(items)
            answers.append(self._encode_answer(task, items, count, now_ms))
        spent_s = time.process_time() - cpu_s
        if unfinished:
            unfinished = unfinished._replace(spent_s=tasks[last].resume_from.spent_s + spent_s)
        return Answers(answers, Timings(read_s - started_s, time.perf_counter() - read_s, spent_s), unfinished)

    def _is_past_time_limit(self, task: Task) -> bool:
        """Return whether a record has used its processor time, so that no more of it is read."""
        return task.resume_from.spent_s > self._record_timeout_s

    def _items_to_skip(self, task: Task) -> Collection[int]:
        """Return the indices of the items that must not be read."""
        return range(task.resume_from.items, sys.maxsize) if self._is_past_time_limit(task) else task.quarantined

    def _check_results_size(self, task: Task, opened: Payload) -> None:
        """Raise `ResultsTooLarge` for an archive whose results could exceed the limit, before it reads an image."""
        if opened.is_image:
            return
        longest = self._result(task, opened.count, opened.count, _LARGEST_OUTCOME, None, now_ms=task.received_at_ms)
        each_bytes = len(self._encode(longest)) + task.echo_bytes + RESULT_OVERHEAD_BYTES
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
                size_bytes += DEAD_LETTER_OVERHEAD_BYTES + len(item.data or b"")
            elif item.reading is not None and item.reading.status == "recognised":
                recognised += 1
            else:
                unsure += 1
        return Answer(results, failed_items, recognised, unsure, size_bytes)

    def _failure(self, task: Task, index: int, item: Outcome) -> _Failure:
        """Return why an item has no reading: the engine's error, or the error code for an item that was not read."""
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
    """The results of an archive could take more bytes than `EchoSettings.results_bytes`."""

    code = str(ErrorCode.RESULTS_TOO_LARGE)


_LARGEST_OUTCOME: Final = Outcome(reading=Reading("recognised", 9, 0.1234, [0.1234] * 10, "low-confidence"))
"""The outcome whose result has the most bytes, apart from the name and the error message."""


class _Failure(NamedTuple):
    code: ErrorCode
    message: str


def _name(task: Task, item: Outcome) -> str | None:
    """Return the name of an item: of an entry from its archive, of a single image from its request, otherwise None."""
    return task.filename if item.of == "image" else item.name


def _failed_item(task: Task, index: int, count: int, item: Outcome, failure: _Failure) -> FailedItem:
    whole = item.of != "entry"
    return FailedItem(index, count, _name(task, item), failure.code, failure.message, whole, item.data, item.left_out)


def main() -> None:
    """Serve one channel until it closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of a connected socket")
    parser.add_argument("--note", type=int, required=True, help="file descriptor of the memory of the progress note")
    parser.add_argument("--model", type=int, required=True, help="file descriptor of the model's arrays")
    arguments = parser.parse_args()
    _die_with_parent()
    channel = socket.socket(fileno=arguments.channel)
    note = ProgressNote(memoryview(mmap.mmap(arguments.note, ProgressNote.SIZE_BYTES)))
    # These errors mean that the service has ended, or does not follow the protocol. Then the worker ends, too.
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
        _silence_stderr()
        info = classifier.info
        model = {"name": info.name, "version": info.version, "sha256": info.sha256}
        processor = BatchProcessor(
            reader, model, note, results_bytes=start.results_bytes, record_timeout_s=start.record_timeout_s
        )
        channel.sendall(frame(Ready()))
        while True:
            channel.sendall(frame(processor.answer(TASKS.decode(_receive(channel, start.memory_bytes)))))


def _model_files(start: Start, arrays: int) -> ModelFiles:
    """Return the model that the service has read. Its files may have changed since then."""
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
    """Exit when the service exits, however it does so, even in the middle of an item.

    Standard input is a pipe that only the service keeps open; a thread waits for its end. The death signal is needed
    for a worker that is stuck in C code and holds the interpreter lock. Since the signal is sent when the *thread* that
    forked ends, it would not be enough alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is sent to all processes; the service stops its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def exit_with_parent() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=exit_with_parent, name="parent watch", daemon=True).start()


def _limit_resources(memory_bytes: int) -> None:
    """Limit what untrusted bytes can make this process use: no core dumps, no files, a limit of memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        size_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = size_bytes + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _silence_stderr() -> None:
    """Redirect standard error to /dev/null: decoders written in C print data of an image, with control characters.

    A crash is still reported by the fault handler of the interpreter, which prints functions and lines but no data.
    """
    original = os.dup(sys.stderr.fileno())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    faulthandler.enable(original)


if __name__ == "__main__":
    main()
