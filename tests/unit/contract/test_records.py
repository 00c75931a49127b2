"""The contract's definitions agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import headers
from contract.errors import ErrorCode
from contract.records import Status, read_result, request_id, result_id
from contract.schema import EXAMPLES, result_schema

VALIDATOR = jsonschema.Draft202012Validator(result_schema())
PAGE = Path(__file__).parents[3] / "docs" / "contract.md"
SPECIAL: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 1, 7, 11, -1, 0.5, 1.5, "", "recognised", "failed", "unsure", "x", [], {}]
)


def is_read(record: Any) -> bool:
    try:
        read_result(json.dumps(record).encode())
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("status", Status)
def test_the_example_of_each_status_is_a_result(status: Status) -> None:
    assert EXAMPLES[status]["status"] == status
    assert is_read(EXAMPLES[status])
    VALIDATOR.validate(EXAMPLES[status])


@given(st.data())
def test_the_schema_accepts_what_the_reader_accepts_and_nothing_else(data: st.DataObject) -> None:
    record = dict(data.draw(st.sampled_from(list(EXAMPLES.values()))))
    for name in data.draw(st.sets(st.sampled_from(sorted(record)), max_size=3)):
        record[name] = data.draw(SPECIAL)
    for name in data.draw(st.sets(st.sampled_from(sorted(record)), max_size=1)):
        del record[name]
    assert VALIDATOR.is_valid(record) == is_read(record)


@given(st.sampled_from(list(EXAMPLES.values())), SPECIAL)
def test_schema_and_reader_agree_on_what_the_model_saw(record: dict[str, Any], seen: Any) -> None:
    record = {**record, "seen": seen}
    assert VALIDATOR.is_valid(record) == is_read(record) == (seen is None or isinstance(seen, str))


@given(st.sampled_from(["source", "item", "model", "timing"]), st.data())
def test_schema_and_reader_agree_on_the_parts_of_a_result_too(part: str, data: st.DataObject) -> None:
    record = json.loads(json.dumps(EXAMPLES["recognised"]))
    name = data.draw(st.sampled_from(sorted(record[part])))
    record[part][name] = data.draw(SPECIAL)
    assert VALIDATOR.is_valid(record) == is_read(record)


def test_readers_accept_fields_and_codes_that_are_added_later() -> None:
    later = {**EXAMPLES["failed"], "duration_ms": 3, "error": {"code": "struck-by-lightning", "message": "Ouch."}}
    assert is_read(later)
    VALIDATOR.validate(later)


def test_a_record_without_a_value_is_not_a_result() -> None:
    with pytest.raises(ValueError, match="no value"):
        read_result(None)


def test_every_error_code_has_its_own_sentence() -> None:
    sentences = [code.sentence for code in ErrorCode]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences)
    assert all(code.value == code.name.lower().replace("_", "-") for code in ErrorCode)


def test_every_header_is_explained() -> None:
    names = {value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)}
    assert names == set(headers.ABOUT)


def test_ids_contain_the_position_of_the_request() -> None:
    assert request_id("digits.requests", 3, 1042) == "digits.requests/3/1042"
    assert result_id("digits.requests", 3, 1042, 0) == "digits.requests/3/1042/0"


def test_the_page_for_upstream_developers_lists_every_code_and_header() -> None:
    page = PAGE.read_text()
    assert [code for code in ErrorCode if f"| `{code}` | {code.sentence} |" not in page] == []
    assert [name for name, about in headers.ABOUT.items() if f"| `{name}` | {about} |" not in page] == []


def test_the_page_shows_the_example_of_a_result_unchanged() -> None:
    assert json.dumps(EXAMPLES["recognised"], indent=2) in PAGE.read_text()
