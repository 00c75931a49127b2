"""A ledger keeps only what is open, and finds no fault in right answers, however they are cut into requests."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract.dead_letters import DeadLetter
from contract.records import Result
from contract.schema import EXAMPLES
from contract.topics import CLOCK_TOLERANCE_MS
from producer.audit.consistency import AuditedDeadLetter, AuditedRequest, AuditedResult
from producer.audit.ledger import Ledger
from producer.audit.report import LISTED_FAULTS, Report

TOPIC = "digits.requests"
REQUESTS = st.lists(st.lists(st.sampled_from(sorted(EXAMPLES)), min_size=1, max_size=4), max_size=30)


def new_ledger(report: Report, **changed: Any) -> Ledger:
    whole = {"log_start": 0, "results_cut": False, "dead_letters_cut": False}
    return Ledger(report, topic=TOPIC, partition=3, **whole | changed)


def new_request(offset: int, timestamp_ms: int = 7) -> AuditedRequest:
    return AuditedRequest(offset, timestamp_ms=timestamp_ms, key=None, request_id=None, echo={})


def new_result(offset: int, index: int, count: int, status: str) -> AuditedResult:
    record = copy.deepcopy(EXAMPLES[status]) | {
        "result_id": f"{TOPIC}/3/{offset}/{index}",
        "request_id": f"{TOPIC}/3/{offset}",
        "source": {"topic": TOPIC, "partition": 3, "offset": offset, "timestamp_ms": 7},
        "item": {"index": index, "count": count, "name": None},
    }
    return AuditedResult(Result.model_validate(record), key=None, echo={})


def new_dead_letter(of: AuditedResult) -> AuditedDeadLetter:
    failed = of.result
    assert failed.error is not None
    dead_letter = DeadLetter(
        origin_topic=TOPIC,
        origin_partition=3,
        origin_offset=failed.source.offset,
        origin_timestamp_ms=7,
        item_index=failed.item.index,
        item_count=failed.item.count,
        item_name=None,
        result_id=failed.result_id,
        request_id=failed.request_id,
        error_code=failed.error.code,
        error_message="",
        attempt=1,
        value_left_out=None,
        headers_left_out=None,
        original_headers=(),
    )
    return AuditedDeadLetter(dead_letter, key=None, has_value=True)


@given(REQUESTS, st.sampled_from(["results", "dead letters"]))
def test_right_answers_have_no_fault_and_leave_nothing_open(requests: list[list[str]], first: str) -> None:
    report = Report()
    ledger = new_ledger(report)
    for number, statuses in enumerate(requests):
        offset = 3 * number  # logs have gaps
        ledger.add_request(new_request(offset))
        for index, status in enumerate(statuses):
            result = new_result(offset, index, len(statuses), status)
            entries = [lambda result=result: ledger.add_result(result)]
            if status == "failed":
                entries.append(lambda result=result: ledger.add_dead_letter(new_dead_letter(result)))
            for enter in entries if first == "results" else reversed(entries):
                enter()
        assert (ledger._open, ledger._failed, ledger._dead_letters) == ({}, {}, {})
    ledger.close()
    assert report.clean
    assert (report.requests, report.results) == (len(requests), sum(map(len, requests)))
    assert report.dead_letters == sum(statuses.count("failed") for statuses in requests)


@given(REQUESTS.filter(bool), st.data())
def test_a_lost_result_is_missing_and_a_doubled_one_is_duplicated(
    requests: list[list[str]], data: st.DataObject
) -> None:
    items = [(offset, index) for offset, statuses in enumerate(requests) for index in range(len(statuses))]
    lost, doubled = data.draw(st.sampled_from(items)), data.draw(st.sampled_from(items))
    report = Report()
    ledger = new_ledger(report)
    for offset, statuses in enumerate(requests):
        ledger.add_request(new_request(offset))
        for index in range(len(statuses)):
            for _ in range(1 - ((offset, index) == lost) + ((offset, index) == doubled)):
                ledger.add_result(new_result(offset, index, len(statuses), "recognised"))
    ledger.close()
    expected = (0, 0) if lost == doubled else (1, 1)
    assert (report.missing, report.duplicated, report.out_of_order, report.inconsistent) == (*expected, 0, 0)


def test_only_the_first_faults_are_listed_but_all_are_counted() -> None:
    report = Report()
    ledger = new_ledger(report)
    for offset in range(3 * LISTED_FAULTS):
        ledger.add_request(new_request(offset))
    ledger.close()
    assert (report.missing, len(report.faults)) == (3 * LISTED_FAULTS, LISTED_FAULTS)


def test_where_all_results_are_deleted_all_requests_are_expired() -> None:
    report = Report()
    ledger = new_ledger(report, results_cut=True)
    for offset in range(5):
        ledger.add_request(new_request(offset))
    ledger.add_dead_letter(new_dead_letter(new_result(2, 0, 1, "failed")))
    ledger.close()
    assert report.clean
    assert report.expired == 5


def test_a_result_too_new_to_be_deleted_is_missing_before_the_first_one_left() -> None:
    report = Report()
    ledger = new_ledger(report, results_cut=True)
    ledger.set_oldest_result(0)  # that of another partition of requests
    for offset, timestamp_ms in enumerate([CLOCK_TOLERANCE_MS, CLOCK_TOLERANCE_MS + 1, 7]):
        ledger.add_request(new_request(offset, timestamp_ms))
    ledger.add_result(new_result(2, 0, 1, "recognised"))
    ledger.close()
    assert (report.expired, report.missing) == (1, 1)
    assert report.faults == [f"missing: every result of {TOPIC}/3/1"]


def test_where_no_result_is_left_those_too_new_to_be_deleted_are_missing() -> None:
    report = Report()
    ledger = new_ledger(report, results_cut=True)
    ledger.set_oldest_result(0)
    for offset, timestamp_ms in enumerate([7, CLOCK_TOLERANCE_MS + 1]):
        ledger.add_request(new_request(offset, timestamp_ms))
    ledger.results_read()
    ledger.close()
    assert (report.expired, report.missing) == (1, 1)
