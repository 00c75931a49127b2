"""What is counted comes out under its name."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from prometheus_client.parser import text_string_to_metric_families

from consumer.observe.metrics import Metrics
from consumer.observe.processes import WorkerProcesses
from consumer.workers.protocol import Answer, DeadLetter, Timings
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


def test_a_request_is_as_old_as_its_timestamp_says_and_never_younger_than_nothing() -> None:
    metrics = Metrics()
    for timestamp_ms in (90_000, 100_500, -1):
        metrics.aged(timestamp_ms, 100_000)
    found = samples(metrics)
    assert found["digits_request_age_seconds_count", ""] == 2, "one that has no timestamp has no age"
    assert found["digits_request_age_seconds_sum", ""] == 10


def test_the_processor_time_and_memory_of_workers_are_read_when_they_are_asked_for() -> None:
    metrics = Metrics()
    assert samples(metrics)["digits_worker_resident_memory_bytes", ""] == 0
    metrics.processes.pids = {os.getpid()}
    found = samples(metrics)
    assert found["digits_worker_cpu_seconds_total", ""] >= time.process_time() - 1
    assert found["digits_worker_resident_memory_bytes", ""] > 1_000_000


def test_the_processor_time_of_workers_never_falls_when_one_has_ended() -> None:
    processes = WorkerProcesses()
    processes.pids = {os.getpid()}
    spent_s = processes.cpu_s()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    processes.pids = {ended.pid}
    assert processes.cpu_s() >= spent_s > 0
    assert processes.resident_bytes() == 0


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
    assert found["digits_published_bytes_total", "dead-letter"] == 0
