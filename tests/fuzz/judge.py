"""What every payload must end in: predictions, or failures with a code of the contract, one result an item."""

from __future__ import annotations

import lzma
import resource
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cramjam
import cv2

import engine
from consumer.settings import Settings
from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.batches import scanning
from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import Part, Task
from contract.errors import ErrorCode
from engine.errors import RAISED_AT, EngineError
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Outcome, Reader
from engine.resume_cursor import ResumeCursor
from models import default_model
from tests.harness.tasks import dead_letters_of, results_of, rules, task

_ENGINE: Final = Path(engine.__file__).parent
_NEVER: Final = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.OUT_OF_MEMORY})
"""Codes that say that we, or our limits, are at fault."""
_IMAGE_S, _RECORD_S = 2.0, 30.0
"""Of processor time, at most: what docs/limits.md promises of one image, and of an archive."""
_REFUSALS: Final = (cv2.error, zlib.error, lzma.LZMAError, cramjam.DecompressionError, OSError, EngineError)
"""What C code raises in our own lines, where it refuses a file or a stream."""


class Finding(Exception):  # noqa: N818  # read as what it is
    """A payload ended as none may."""


class _Remembering(Reader):
    """Keeps what it read last, since the answers alone do not show where an error came from."""

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        super().__init__(classifier, limits)
        self.outcomes: list[Outcome] = []

    def resume(self, *arguments: Any, **options: Any) -> tuple[list[list[Outcome]], ResumeCursor | None]:
        read, progress = super().resume(*arguments, **options)
        self.outcomes += (outcome for outcomes in read for outcome in outcomes)
        return read, progress


class Judge:
    """A worker's own code in this process, with a worker's limits."""

    def __init__(self) -> None:
        self._reader = _Remembering(Classifier.load(default_model()), Limits())
        self._reader.warm_up()
        scanning.warm_up()  # as a worker does: compiling must not count as the time of the first payload
        note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
        model = {"name": "fuzzed", "version": "1", "sha256": "0" * 64}
        self._processor = BatchProcessor(self._reader, model, note, rules())

    def limit_memory(self) -> None:
        """Allow what a worker is allowed by default: what the process has now, and a budget."""
        size_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = size_bytes + Settings.model_fields["worker_memory_bytes"].default
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def __call__(self, payload: bytes) -> list[str]:
        """Answer a payload as a worker does, and check the answer; return how its items ended.

        Raises
        ------
        Finding
            It ended as none may. Any other exception is a finding, too.
        """
        self._reader.outcomes = []
        begun_s = time.process_time()
        parts = list(self._slices(task(payload)))
        taken_s = time.process_time() - begun_s
        results = results_of(parts)
        if taken_s > (_IMAGE_S if len(results) == 1 else _RECORD_S):
            raise Finding(f"it takes {taken_s:.1f} s of processor time")
        dead_letters = dead_letters_of(parts)
        if [result.item.index for result in results] != list(range(len(results))) or not results:
            raise Finding("the results do not number the items")
        if {result.item.count for result in results} != {len(results)}:
            raise Finding("the results do not count the items")
        if len(dead_letters) != sum(result.error is not None for result in results):
            raise Finding("the dead letters are not those of the failed items")
        for outcome in self._reader.outcomes:
            _check(outcome)
        return [result.error.code if result.error else str(result.digit) for result in results]

    def _slices(self, rest: Task | None) -> Iterator[Part]:
        """Answer a task slice by slice: a worker puts one that takes long aside, between two items."""
        while rest is not None:
            (answer,) = self._processor.answer([rest]).answers
            yield from answer.parts
            rest = None if answer.stopped is None else rest.resumed(answer.stopped)


def _check(outcome: Outcome) -> None:
    error = outcome.error
    if (error is None) == (outcome.reading is None):
        raise Finding("an outcome is neither a reading nor an error")
    if error is None:
        return
    if ErrorCode(error.code) in _NEVER:
        raise Finding(f"{error.code}: {error}") from error.__cause__
    if not str(error).isprintable():
        raise Finding("a message is not printable")
    if error.__cause__ is not None and _is_ours(error.__cause__):
        raise Finding(f"{type(error.__cause__).__name__} out of our own code") from error.__cause__


def _is_ours(cause: BaseException) -> bool:
    """Return True if an exception began in the engine's own lines, and not in a library that refuses a picture."""
    if isinstance(cause, _REFUSALS):
        return False
    raised_at = [note.removeprefix(RAISED_AT) for note in cause.__notes__ if note.startswith(RAISED_AT)]
    return _ENGINE in Path(raised_at[-1]).parents
