"""What is counted comes out under its name."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from consumer.channel import Answer, DeadLetter, Timings
from consumer.metrics import Metrics
from contract.errors import ErrorCode


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Give every sample by its name and the value of its first label."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def letter(code: str) -> DeadLetter:
    return DeadLetter(0, 1, None, code, "", True, None, None)


def test_items_are_counted_by_status_and_failures_by_code() -> None:
    metrics = Metrics()
    zipped = Answer(
        [b"{}"] * 6, [letter("damaged-image"), letter("damaged-image"), letter("entry-too-large")], 2, 1, 12
    )
    metrics.committed([Answer([b"{}"], [], 1, 0, 2), zipped])
    found = samples(metrics)
    assert found["digits_items_total", "recognised"] == 3
    assert found["digits_items_total", "unsure"] == 1
    assert found["digits_items_total", "failed"] == 3
    assert found["digits_failures_total", "damaged-image"] == 2
    assert found["digits_failures_total", "entry-too-large"] == 1


def test_a_workers_timings_are_stages() -> None:
    metrics = Metrics()
    metrics.observe_worker(Timings(0.25, 0.5, 0.7))
    found = samples(metrics)
    assert found["digits_stage_seconds_sum", "read"] == 0.25
    assert found["digits_stage_seconds_sum", "encode"] == 0.5


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.records.inc()
    assert samples(one)["digits_records_total", ""] == 1
    assert samples(other)["digits_records_total", ""] == 0


def test_every_series_is_there_before_its_first_count() -> None:
    found = samples(Metrics())
    assert found["digits_items_total", "failed"] == 0
    assert {code for name, code in found if name == "digits_failures_total"} == set(ErrorCode)
    assert found["digits_pool_restarts_total", "worker-crashed"] == 0
    assert found["digits_transactions_total", "lost"] == 0
