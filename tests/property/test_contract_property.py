"""For any text and bytes in a request, its result and its dead letter are correct and can be read back."""

from __future__ import annotations

import json

from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.partitions.outgoing import DeadLetterLimits, dead_letters
from consumer.partitions.requests import from_record
from consumer.settings import EchoSettings
from consumer.workers.protocol import Answer, FailedItem, ProgressNote
from consumer.workers.worker import BatchProcessor
from contract import headers
from contract.dead_letters import DeadLetter
from contract.errors import ErrorCode
from contract.records import read_result
from engine.errors import DamagedImage
from engine.limits import Limits
from engine.reader import Outcome

NAMES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.sampled_from([value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)]),
)
HEADERS = st.lists(st.tuples(NAMES, st.one_of(st.none(), st.binary(max_size=50))), max_size=12)
KEYS = st.one_of(st.none(), st.binary(max_size=50))
TIMES = st.integers(-1, 2**63 - 1)


class Damaged:
    """Reads every payload as damaged, under a name of its own choice."""

    def __init__(self, name: str | None, message: str) -> None:
        self.outcome = Outcome("image" if name is None else "entry", name, error=DamagedImage(message))

    def resume(self, *_: object, **__: object) -> tuple[list[list[Outcome]], None]:
        return [[self.outcome]], None


def record(key: bytes | None, received: list[tuple[str, bytes | None]], timestamp_ms: int) -> ConsumerRecord:
    return ConsumerRecord("t", 3, 7, timestamp_ms, 0, key, b"value", None, 0, 5, tuple(received))


@given(
    KEYS,
    HEADERS,
    TIMES,
    st.one_of(st.none(), st.text(st.characters(codec="utf-8"))),
    st.text(st.characters(codec="utf-8")),
)
@settings(deadline=None)
def test_a_result_and_a_dead_letter_are_read_back_unchanged(
    key: bytes | None, received: list[tuple[str, bytes | None]], timestamp_ms: int, name: str | None, message: str
) -> None:
    request = from_record(record(key, received, timestamp_ms), EchoSettings(), Limits())
    processor = BatchProcessor(
        Damaged(name, message),  # type: ignore[arg-type]  # all that a processor asks of a reader
        {"name": "m", "version": "1", "sha256": "0" * 64},
        ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES))),
        results_bytes=1_000_000,
        record_timeout_s=60,
    )
    (answer,) = processor.answer([request.task]).answers
    result = read_result(answer.results[0])
    last = dict(received)
    filename = (last.get(headers.FILENAME) or b"").decode("utf-8", "replace") or None
    assert result.item.name == (filename if name is None else name)
    assert result.request_id == ((last.get(headers.REQUEST_ID) or b"").decode("utf-8", "replace") or "t/3/7")
    assert result.source.timestamp_ms == timestamp_ms
    assert result.error is not None
    assert result.error.message.isprintable()
    assert json.loads(answer.results[0])["item"] == {"index": 0, "count": 1, "name": result.item.name}
    (letter,) = dead_letters(request, answer, DeadLetterLimits(1_000_000, 1_000_000))
    read = DeadLetter.read(letter.headers)
    assert (letter.key, read.original_headers) == (key, tuple(received))
    assert (read.result_id, read.request_id) == (result.result_id, result.request_id)
    assert (read.error_code, read.error_message) == (ErrorCode.DAMAGED_IMAGE, result.error.message)
    assert read.origin_timestamp_ms == timestamp_ms
    assert read.attempt >= 1


@given(HEADERS, KEYS)
@settings(deadline=None)
def test_a_dead_letter_that_does_not_fit_leaves_out_key_and_headers(
    received: list[tuple[str, bytes | None]], key: bytes | None
) -> None:
    request = from_record(record(key, received, 0), EchoSettings(), Limits())
    failed = FailedItem(0, 1, None, ErrorCode.DAMAGED_IMAGE, "m", whole=True, data=None, left_out=None)
    (letter,) = dead_letters(request, Answer([b""], [failed], 0, 0, 0), DeadLetterLimits(1, 1))
    read = DeadLetter.read(letter.headers)
    assert (letter.key, letter.value, read.original_headers) == (None, None, ())
    assert read.value_left_out
