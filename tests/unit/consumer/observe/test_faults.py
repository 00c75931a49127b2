"""Which events of lanes and workers are reported as faults, and what of them; and what ends the service."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from consumer import cli
from consumer.observe.faults import FaultReports
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import Publication
from consumer.workers.observers import WorkerObserver, WorkerObservers
from consumer.workers.processes.deaths import Suspect
from consumer.workers.tasks import WHOLE_BATCH, FailedItem, Part
from transport.errors import FatalError, InvalidSettingError
from transport.reports.reporter import NOWHERE, Reporter, Where


class PlayedReporter(Reporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str, Where]] = []
        self.ends: list[Exception] = []

    def error(self, what: str, where: Where = NOWHERE, *, error: BaseException | None = None, detail: str = "") -> None:
        assert error is None
        self.errors.append((what, detail, where))

    def fatal(self, error: Exception) -> None:
        self.ends.append(error)


@pytest.fixture
def reporter() -> PlayedReporter:
    return PlayedReporter()


def committed(reporter: Reporter, *items: FailedItem) -> None:
    failures = {code: sum(item.code == code for item in items) for code in {item.code for item in items}}
    part = ReadyPart(Part(20, [], failures=failures, failed_items=list(items)), 0.0, 0.0, 0.0)
    FaultReports(reporter, "requests").committed(Publication(TopicPartition("requests", 3), [part]))


def test_each_code_of_a_part_is_one_report_with_the_place_of_its_first_item(reporter: PlayedReporter) -> None:
    internal = FailedItem(17, 2, "order-7", None, "internal-error", "ValueError at engine/codecs/decode.py:12")
    committed(reporter, internal, FailedItem(18, 0, "order-8", None, "internal-error"))
    assert reporter.errors == [
        (
            "item failed",
            "internal-error ValueError at engine/codecs/decode.py:12",
            {
                "code": "internal-error",
                "topic": "requests",
                "partition": 3,
                "offset": 17,
                "item": 2,
                "items": 2,
                "request_id": "order-7",
            },
        )
    ]


def test_items_that_fail_for_a_reason_of_their_own_are_not_reported(reporter: PlayedReporter) -> None:
    committed(reporter, *(FailedItem(1, 0, "order", None, code) for code in ("damaged-image", "out-of-memory")))
    assert reporter.errors == []


@pytest.mark.parametrize("said", ["the bytes of another sender", "ValueError at a.py:1\n", "E at " + "a" * 300 + ":1"])
def test_a_worker_that_says_anything_else_than_a_type_and_a_line_is_not_quoted(
    reporter: PlayedReporter, said: str
) -> None:
    committed(reporter, FailedItem(17, 2, "order-7", None, "internal-error", said))
    assert [detail for _, detail, _ in reporter.errors] == ["internal-error"]


def test_a_worker_that_ends_is_reported_with_what_it_was_reading(reporter: PlayedReporter) -> None:
    faults = WorkerObservers([WorkerObserver(), FaultReports(reporter, "requests")])
    faults.worker_replaced("worker-crashed", Suspect(3, 17, 2))
    faults.worker_replaced("worker-timeout", Suspect(3, 17, WHOLE_BATCH))
    faults.worker_replaced("not-started")
    place = {"topic": "requests", "partition": 3, "offset": 17}
    assert [where for _, _, where in reporter.errors] == [
        {"code": "worker-crashed", "item": 2} | place,
        {"code": "worker-timeout", "item": "all of its batch"} | place,
        {"code": "not-started"},
    ]


@pytest.mark.parametrize(("error", "code"), [(FatalError("away"), 1), (InvalidSettingError("DIGITS_X", 1, "no"), 2)])
def test_a_fatal_end_is_reported_and_exits(reporter: PlayedReporter, error: FatalError, code: int) -> None:
    with pytest.raises(SystemExit) as ended, cli._fatal_end(reporter):
        raise error
    assert (ended.value.code, reporter.ends) == (code, [error])


def test_an_unexpected_error_that_ends_the_service_is_reported_and_keeps_its_traceback(
    reporter: PlayedReporter,
) -> None:
    error = RuntimeError("unforeseen")
    with pytest.raises(RuntimeError), cli._fatal_end(reporter):
        raise error
    assert reporter.ends == [error]
