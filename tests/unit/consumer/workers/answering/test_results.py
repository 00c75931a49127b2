"""Results are byte for byte what an encoder writes of the fields of the contract."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consumer.workers.answering.requests import Request
from consumer.workers.answering.results import Failure, ResultWriter
from contract import records
from contract.errors import ErrorCode
from contract.records import SCHEMA_VERSION, Status, read_result
from engine.model.classifier import Reading
from tests.harness.tasks import task
from transport.batches.building import NO_HEADERS

MODEL = {"name": 'a "name" %d', "version": "1", "sha256": "0" * 64}
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
PROBABILITY = st.integers(0, 10_000).map(lambda number: round(number / 10_000, 4))
READINGS = st.builds(
    lambda digit, confidence, probabilities, reason: Reading(
        "unsure" if reason else "recognised", digit, confidence, probabilities, reason
    ),
    st.integers(0, 9),
    PROBABILITY,
    st.lists(PROBABILITY, min_size=10, max_size=10),
    st.sampled_from([None, "low-confidence", "not-a-digit"]),
)
FAILURES = st.builds(Failure, st.sampled_from(list(ErrorCode)), TEXT)


@given(
    st.one_of(READINGS, FAILURES),
    TEXT,
    st.one_of(st.none(), TEXT),
    st.tuples(st.integers(0, 2**63 - 1), st.integers(-1, 2**63 - 1)),
    st.tuples(st.integers(0, 10_000), st.integers(1, 10_000)),
)
def test_a_result_is_what_an_encoder_writes(
    outcome: Reading | Failure, request_id: str, name: str | None, place: tuple[int, int], item: tuple[int, int]
) -> None:
    asked = request(*place, request_id)
    writer = ResultWriter(task(b""), msgspec.json.encode(MODEL), now_ms=3_000)
    if isinstance(outcome, Reading):
        written = writer.write(asked, *item, name, outcome)
    else:
        written = writer.write(asked, *item, name, None, failure=outcome)
    assert written == msgspec.json.encode(fields(outcome, asked, name, item))
    read_result(written)


def test_a_result_stays_the_same_when_the_next_one_is_written() -> None:
    writer = ResultWriter(task(b""), msgspec.json.encode(MODEL), now_ms=3_000)
    reading = Reading("recognised", 3, 0.9, [0.1] * 10, None)
    first, copy = [writer.write(request(7, 1_000, "first"), 0, 1, None, reading) for _ in range(2)]
    writer.write(request(8, 1_000, "second" * 1_000), 0, 1, None, reading)
    assert first == copy


@given(READINGS, st.binary(max_size=2_000))
def test_what_the_model_saw_comes_last_and_changes_nothing_else(reading: Reading, seen: bytes) -> None:
    asked = request(7, 1_000, "order-7")
    writer = ResultWriter(task(b""), msgspec.json.encode(MODEL), now_ms=3_000)
    without = writer.write(asked, 0, 1, None, reading)
    written = writer.write(asked, 0, 1, None, reading, seen=seen)
    assert written == without[:-1] + b',"seen":"' + base64.b64encode(seen) + b'"}'
    assert read_result(written).seen == base64.b64encode(seen).decode()
    assert writer.write(asked, 0, 1, None, reading) == without


def request(offset: int, timestamp_ms: int, request_id: str) -> Request:
    """Give a request without key and headers."""
    return Request(0, offset, timestamp_ms, None, memoryview(b""), b"", 0, None, NO_HEADERS, request_id, None)


def fields(outcome: Reading | Failure, request: Request, name: str | None, item: tuple[int, int]) -> dict[str, Any]:
    """Give the fields of a result in their order."""
    reading = outcome if isinstance(outcome, Reading) else None
    failure = outcome if isinstance(outcome, Failure) else None
    return {
        "schema": SCHEMA_VERSION,
        "result_id": records.result_id("requests", 3, request.offset, item[0]),
        "request_id": request.request_id,
        "source": {
            "topic": "requests",
            "partition": 3,
            "offset": request.offset,
            "timestamp_ms": request.timestamp_ms,
        },
        "item": {"index": item[0], "count": item[1], "name": name},
        "status": Status.FAILED if reading is None else reading.status,
        "digit": None if reading is None else reading.digit,
        "confidence": None if reading is None else reading.confidence,
        "probabilities": None if reading is None else reading.probabilities,
        "reason": None if reading is None else reading.reason,
        "error": None if failure is None else {"code": failure.code, "message": failure.message},
        "model": MODEL,
        "timing": {"received_at_ms": 2_000, "classified_at_ms": 3_000},
    }
