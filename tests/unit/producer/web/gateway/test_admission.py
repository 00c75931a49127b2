"""When requests are refused, and for how long."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from producer.status import PartitionProgress, Snapshot
from producer.web.gateway import admission as module
from producer.web.gateway.admission import BACKLOG, Admission
from producer.web.gateway.interface import BusyError
from transport.admin.cluster import ConsumerGroup
from transport.errors import KafkaRequestError
from transport.reading.log_reader import OffsetRange
from transport.settings.kafka import ClientSettings


def progress(lag: int, answered_per_s: float) -> list[PartitionProgress]:
    halves = (lag - lag // 2, lag // 2)
    return [PartitionProgress(each, 0, 0, 0, halves[each], None, 0, answered_per_s / 2) for each in (0, 1)]


@pytest.fixture
def admission() -> Admission:
    return Admission(ClientSettings(), max_lag=1_000, max_delay_s=10)


def test_requests_are_taken_while_the_lag_is_not_known(admission: Admission) -> None:
    admission.check()
    assert (admission.lag, admission.delay_s) == (None, None)


def test_a_long_lag_is_refused_also_by_what_was_sent_since_it_was_looked_up(admission: Admission) -> None:
    admission.update(progress(999, 0), 0)
    admission.check()
    admission.note_sent()
    with pytest.raises(BusyError, match="1,000 requests") as refused:
        admission.check()
    assert refused.value.retry_after_s == 5
    admission.update(progress(500, 0), 1)
    admission.check()


async def test_a_request_that_is_sent_during_a_look_counts_until_the_next_one(
    admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record may be written after the look has read the end of the log."""
    monkeypatch.setattr(module, "INTERVAL_S", 0)
    lags: list[int | None] = []

    async def take() -> Snapshot:
        at_s = len(lags)
        lags.append(admission.lag)
        admission.note_sent()
        if at_s == 3:
            raise KafkaRequestError("the end of the test")
        logs = {TopicPartition("requests", 0): OffsetRange(0, at_s)}
        return Snapshot(ConsumerGroup("Stable", []), logs, {}, at_s)

    with pytest.raises(KafkaRequestError):
        await admission._look(take)
    assert lags == [None, None, 2, 3]


def test_a_backlog_is_refused_with_the_time_that_it_takes(admission: Admission) -> None:
    admission.update(progress(900, 20), 0)
    admission.check()  # once may be a moment's burst
    admission.update(progress(900, 20), 0)
    with pytest.raises(BusyError, match="45 s") as refused:
        admission.check()
    assert refused.value.retry_after_s == 45
    admission.update(progress(100, 20), 0)
    admission.check()


def test_a_slow_sender_does_not_make_the_service_look_slow(admission: Admission) -> None:
    for _ in range(3):
        admission.update(progress(1, 1), 0)
    admission.update(progress(BACKLOG * 4, 1), 0)
    admission.check()
    admission.update(progress(BACKLOG * 4, 400), 0)
    admission.check()
    assert admission.delay_s == pytest.approx(0.5)


def test_a_service_that_restarts_does_not_look_slow(admission: Admission) -> None:
    for _ in range(2):
        admission.update(progress(200, 100), 0)
    for _ in range(5):
        admission.update(progress(400, 0), 0)
    admission.check()
    assert admission.delay_s == pytest.approx(4)


def test_nothing_waits_if_there_is_no_lag(admission: Admission) -> None:
    admission.update(progress(0, 0), 0)
    assert admission.delay_s == 0
