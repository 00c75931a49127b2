"""A ledger keeps only what is open, and agrees with answers that are right however they are cut into requests."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract.dead_letters import DeadLetter
from contract.records import Result
from contract.schema import EXAMPLES
from contract.topics import CLOCK_TOLERANCE_MS
from producer.audit.contradictions import Answered, Asked, Kept
from producer.audit.ledger import Ledger
from producer.audit.report import OFFENDERS, Report

TOPIC = "digits.requests"
REQUESTS = st.lists(st.lists(st.sampled_from(sorted(EXAMPLES)), min_size=1, max_size=4), max_size=30)


def ledger(report: Report, **changed: Any) -> Ledger:
    whole = {"first": 0, "results_cut": False, "letters_cut": False}
    return Ledger(report, topic=TOPIC, partition=3, **whole | changed)


def asked(offset: int, timestamp_ms: int = 7) -> Asked:
    return Asked(offset, timestamp_ms=timestamp_ms, key=None, request_id=None, echo={})


def answered(offset: int, index: int, count: int, status: str) -> Answered:
    record = copy.deepcopy(EXAMPLES[status]) | {
        "result_id": f"{TOPIC}/3/{offset}/{index}",
        "request_id": f"{TOPIC}/3/{offset}",
        "source": {"topic": TOPIC, "partition": 3, "offset": offset, "timestamp_ms": 7},
        "item": {"index": index, "count": count, "name": None},
    }
    return Answered(Result.model_validate(record), key=None, echo={})


def kept(of: Answered) -> Kept:
    result = of.result
    assert result.error is not None
    letter = DeadLetter(
        origin_topic=TOPIC,
        origin_partition=3,
        origin_offset=result.source.offset,
        origin_timestamp_ms=7,
        item_index=result.item.index,
        item_count=result.item.count,
        item_name=None,
        result_id=result.result_id,
        request_id=result.request_id,
        error_code=result.error.code,
        error_message="",
        attempt=1,
        value_left_out=None,
        headers_left_out=None,
        original_headers=(),
    )
    return Kept(letter, key=None, has_value=True)


@given(REQUESTS, st.sampled_from(["results", "letters"]))
def test_right_answers_are_right_and_nothing_of_them_stays(requests: list[list[str]], first: str) -> None:
    report = Report()
    books = ledger(report)
    for number, statuses in enumerate(requests):
        offset = 3 * number  # logs have gaps
        books.request(asked(offset))
        for index, status in enumerate(statuses):
            result = answered(offset, index, len(statuses), status)
            entries = [lambda result=result: books.result(result)]
            if status == "failed":
                entries.append(lambda result=result: books.letter(kept(result)))
            for enter in entries if first == "results" else reversed(entries):
                enter()
        assert (books._open, books._failed, books._letters) == ({}, {}, {})
    books.close()
    assert report.clean
    assert (report.requests, report.results) == (len(requests), sum(map(len, requests)))
    assert report.dead_letters == sum(statuses.count("failed") for statuses in requests)


@given(REQUESTS.filter(bool), st.data())
def test_one_result_less_is_one_missing_and_one_more_is_one_duplicated(
    requests: list[list[str]], data: st.DataObject
) -> None:
    items = [(offset, index) for offset, statuses in enumerate(requests) for index in range(len(statuses))]
    lost, doubled = data.draw(st.sampled_from(items)), data.draw(st.sampled_from(items))
    report = Report()
    books = ledger(report)
    for offset, statuses in enumerate(requests):
        books.request(asked(offset))
        for index in range(len(statuses)):
            for _ in range(1 - ((offset, index) == lost) + ((offset, index) == doubled)):
                books.result(answered(offset, index, len(statuses), "recognised"))
    books.close()
    expected = (0, 0) if lost == doubled else (1, 1)
    assert (report.missing, report.duplicated, report.out_of_order, report.inconsistent) == (*expected, 0, 0)


def test_only_the_first_faults_are_told_but_all_are_counted() -> None:
    report = Report()
    books = ledger(report)
    for offset in range(3 * OFFENDERS):
        books.request(asked(offset))
    books.close()
    assert (report.missing, len(report.offenders)) == (3 * OFFENDERS, OFFENDERS)


def test_where_all_results_are_deleted_nothing_can_be_judged() -> None:
    report = Report()
    books = ledger(report, results_cut=True)
    for offset in range(5):
        books.request(asked(offset))
    books.letter(kept(answered(2, 0, 1, "failed")))
    books.close()
    assert report.clean
    assert report.expired == 5


def test_a_request_too_new_to_have_lost_its_result_is_missing_just_before_the_first_that_is_left() -> None:
    report = Report()
    books = ledger(report, results_cut=True)
    books.results_begin(0)  # that of another partition of requests
    for offset, timestamp_ms in enumerate([CLOCK_TOLERANCE_MS, CLOCK_TOLERANCE_MS + 1, 7]):
        books.request(asked(offset, timestamp_ms))
    books.result(answered(2, 0, 1, "recognised"))
    books.close()
    assert (report.expired, report.missing) == (1, 1)
    assert report.offenders == [f"missing: every result of {TOPIC}/3/1"]


def test_where_no_result_is_left_those_of_requests_that_are_too_new_are_missing() -> None:
    report = Report()
    books = ledger(report, results_cut=True)
    books.results_begin(0)
    for offset, timestamp_ms in enumerate([7, CLOCK_TOLERANCE_MS + 1]):
        books.request(asked(offset, timestamp_ms))
    books.results_drawn()
    books.close()
    assert (report.expired, report.missing) == (1, 1)
