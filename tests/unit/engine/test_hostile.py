"""Every hostile payload ends in what its case says, and no decoder sees what it should not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pi_heif
import pytest
from PIL import Image

from contract.errors import ErrorCode
from engine.codecs.formats import image_format
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Outcome, Reader
from models import default_model
from tests.data.hostile import Case, corpus, payloads
from tests.harness.processes import forget_high_water, memory_bytes
from tests.hostile.case import Expected

ACCEPTED = {"PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"}
PEAK_MB = 300.0
"""What one payload may add to the process."""


@pytest.fixture(scope="module")
def reader() -> Reader:
    reader = Reader(Classifier.load(default_model()), Limits())
    reader.warm_up()
    return reader


def ended(outcome: Outcome) -> Expected:
    if outcome.error is not None:
        return ErrorCode(outcome.error.code)
    assert outcome.reading is not None
    assert np.isfinite(outcome.reading.probabilities).all()
    return outcome.reading.digit


def test_every_payload_ends_as_its_case_expects(reader: Reader) -> None:
    cases = payloads()  # made before anything is measured
    forget_high_water(os.getpid())
    before = memory_bytes(os.getpid(), "VmRSS")
    problems = {name: problem for name, case in cases.items() if (problem := problem_with(case, reader))}
    assert problems == {}
    assert (memory_bytes(os.getpid(), "VmHWM") - before) / 1e6 < PEAK_MB


def problem_with(case: Case, reader: Reader) -> str | None:
    """Say where the engine departs from what a case states; None if nowhere."""
    assert case.value is not None
    (outcomes,) = reader.read([case.value])
    ends = [ended(outcome) for outcome in outcomes]
    if not case.met_by(ends):
        return f"it ends as {ends}, not {list(case.expected)}"
    names = [outcome.name for outcome in outcomes]
    if case.names is not None and names != list(case.names):
        return f"its names are {names}"
    messages = [str(outcome.error) for outcome in outcomes if outcome.error is not None]
    return None if all(message.isprintable() for message in messages) else f"it says {messages!r}"


@pytest.mark.slow  # reads the whole corpus a second time
def test_no_decoder_reads_a_format_that_is_not_accepted(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    handed: list[str] = []

    def spied_on(kind: str, factory: Callable[..., Any]) -> Callable[..., Any]:
        def decoder(*args: Any) -> Any:
            handed.append(kind)
            return factory(*args)

        return decoder

    for kind, (factory, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, kind, (spied_on(kind, factory), accept))
    imdecode = cv2.imdecode

    def spied_imdecode(data: np.ndarray[Any, Any], flags: int) -> Any:
        handed.append(str(image_format(data.tobytes())))
        return imdecode(data, flags)

    monkeypatch.setattr(cv2, "imdecode", spied_imdecode)
    open_heif = pi_heif.open_heif

    def spied_open_heif(data: bytes) -> Any:
        handed.append(str(image_format(data)))
        return open_heif(data)

    monkeypatch.setattr(pi_heif, "open_heif", spied_open_heif)
    values = [case.value or b"" for case in corpus().values()]
    reader.read(values)
    assert set(handed) == ACCEPTED


def test_the_corpus_meets_every_code_that_bytes_alone_can_cause() -> None:
    """The others are met by limits set lower, or by what a worker does: `test_limits`, `tests/fault`."""
    met = {code for case in corpus().values() for code in case.expected if isinstance(code, ErrorCode)}
    assert set(ErrorCode) - met == {
        ErrorCode.IMAGE_TOO_LARGE,  # by default a record, or an entry, has no more bytes than an image
        ErrorCode.INFLATES_TOO_FAR,  # it is about entries that are larger
        ErrorCode.WORKER_CRASHED,
        ErrorCode.WORKER_TIMEOUT,
        ErrorCode.RECORD_TIMEOUT,
        ErrorCode.OUT_OF_MEMORY,
        ErrorCode.INTERNAL_ERROR,
    }
