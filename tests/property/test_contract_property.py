"""For any text and bytes in a request, its result and its dead letter are correct and can be read back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import Part
from contract import headers
from contract.errors import ErrorCode
from contract.records import read_result
from engine.errors import DamagedImage
from engine.reader import Outcome
from tests.harness.raw_batches import Raw
from tests.harness.tasks import dead_letters_of, raw_results, rules, task

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


def answered(of: Raw, name: str | None, message: str, *, record_bytes: int = 1_000_000) -> Part:
    processor = BatchProcessor(
        Damaged(name, message),  # type: ignore[arg-type]  # all that a processor asks of a reader
        {"name": "m", "version": "1", "sha256": "0" * 64},
        ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES))),
        rules(),
    )
    (answer,) = processor.answer([task(of, offset=7, dead_letter_bytes=record_bytes)]).answers
    (part,) = answer.parts
    return part


@given(
    KEYS,
    HEADERS,
    TIMES,
    st.one_of(st.none(), st.text(st.characters(codec="utf-8"))),
    st.text(st.characters(codec="utf-8")),
)
def test_a_result_and_a_dead_letter_are_read_back_unchanged(
    key: bytes | None, received: list[tuple[str, bytes | None]], timestamp_ms: int, name: str | None, message: str
) -> None:
    part = answered(Raw(b"value", key, received, timestamp_ms), name, message)
    (value,) = raw_results([part])
    result = read_result(value)
    last = dict(received)
    filename = (last.get(headers.FILENAME) or b"").decode("utf-8", "replace") or None
    assert result.item.name == (filename if name is None else name)
    assert result.request_id == ((last.get(headers.REQUEST_ID) or b"").decode("utf-8", "replace") or "requests/3/7")
    assert result.source.timestamp_ms == timestamp_ms
    assert result.error is not None
    assert result.error.message.isprintable()
    assert json.loads(value)["item"] == {"index": 0, "count": 1, "name": result.item.name}
    ((letter, read),) = dead_letters_of([part])
    assert (letter.key, read.original_headers) == (key, tuple(received))
    assert (read.result_id, read.request_id) == (result.result_id, result.request_id)
    assert (read.error_code, read.error_message) == (ErrorCode.DAMAGED_IMAGE, result.error.message)
    assert read.origin_timestamp_ms == timestamp_ms
    assert read.attempt >= 1


@given(HEADERS, KEYS)
def test_a_dead_letter_that_does_not_fit_leaves_out_key_and_headers(
    received: list[tuple[str, bytes | None]], key: bytes | None
) -> None:
    ((letter, read),) = dead_letters_of([answered(Raw(b"value", key, received), None, "m", record_bytes=1)])
    assert (letter.key, letter.value, read.original_headers) == (None, None, ())
    assert read.value_left_out
