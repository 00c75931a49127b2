"""What is counted comes out under its name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from consumer.observe.metrics import Metrics
from consumer.observe.processes import WorkerProcesses
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import Publication
from consumer.workers.challenge.report import Challenged, Compared
from consumer.workers.tasks import Part, Timings
from contract.errors import ErrorCode
from engine.model.files import ModelInfo


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Give every sample by its name and the value of its first label."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def publication(*parts: Part) -> Publication:
    """Make one that was begun at 10 s and committed at 12.5 s; its requests were fetched at 9 s."""
    ready = [ReadyPart(part, 9.0, 9.0, 9.5) for part in parts]
    return Publication(TopicPartition("requests", 0), ready, 10.0, 12.5, 100_000)


def test_items_are_counted_by_status_and_failures_by_code(metrics: Metrics) -> None:
    failures = {"damaged-image": 2, "entry-too-large": 1}
    metrics.committed(
        publication(
            Part(1, [], records=1, recognised=1), Part(2, [], records=1, recognised=2, unsure=1, failures=failures)
        )
    )
    found = samples(metrics)
    assert found["digits_items_total", "recognised"] == 3
    assert found["digits_items_total", "unsure"] == 1
    assert found["digits_items_total", "failed"] == 3
    assert found["digits_failures_total", "damaged-image"] == 2
    assert found["digits_failures_total", "entry-too-large"] == 1


def test_transactions_are_counted_with_their_time_and_publications_with_their_records(metrics: Metrics) -> None:
    part = Part(2, [], records=2, record_bytes=10, recognised=2, results_bytes=5, dead_letters_bytes=7)
    metrics.committed(publication(part))
    metrics.committed(publication(Part(3, [])))  # it only moves the offset past markers
    metrics.transaction_committed(2.5)
    metrics.transaction_committed(2.5)
    metrics.transaction_lost()
    found = samples(metrics)
    assert (found["digits_transactions_total", "committed"], found["digits_transactions_total", "lost"]) == (2, 1)
    assert found["digits_stage_seconds_sum", "commit"] == 5.0
    assert found["digits_latency_seconds_sum", ""] == 3.5
    assert (found["digits_records_total", ""], found["digits_record_bytes_total", ""]) == (2, 10)
    assert found["digits_published_bytes_total", "predictions"] == 5
    assert found["digits_published_bytes_total", "dead-letter"] == 7


def test_events_of_lanes_and_workers_are_counted(metrics: Metrics) -> None:
    metrics.assigned([TopicPartition("requests", 0)])
    metrics.fetched(7)
    metrics.admitted(0.5)
    metrics.classified(0.25)
    metrics.lane_lost()
    metrics.worker_replaced("worker-crashed")
    metrics.batch_answered(Timings(0.125, 0.0625, 0.7))
    found = samples(metrics)
    assert found["digits_rebalances_total", ""] == 1
    assert found["digits_fetched_bytes_total", ""] == 7
    assert found["digits_lanes_lost_total", ""] == 1
    assert found["digits_worker_restarts_total", "worker-crashed"] == 1
    stages = {stage: found["digits_stage_seconds_sum", stage] for stage in ("wait", "classify", "read", "encode")}
    assert stages == {"wait": 0.5, "classify": 0.25, "read": 0.125, "encode": 0.0625}


def test_the_age_of_a_request_is_never_negative(metrics: Metrics) -> None:
    for timestamp_ms in (90_000, 100_500, -1):
        metrics.committed(publication(Part(1, [], records=1, recognised=1, oldest_at_ms=timestamp_ms)))
    found = samples(metrics)
    assert found["digits_request_age_seconds_count", ""] == 2, "a request without a timestamp has no age"
    assert found["digits_request_age_seconds_sum", ""] == 10


@dataclass
class Workers:
    pids: set[int]


def test_processor_time_and_memory_of_workers_are_read_at_each_scrape(metrics: Metrics) -> None:
    workers = Workers(set())
    metrics.registry.register(WorkerProcesses(workers))
    assert samples(metrics)["digits_worker_resident_memory_bytes", ""] == 0
    workers.pids = {os.getpid()}
    found = samples(metrics)
    assert found["digits_worker_cpu_seconds_total", ""] >= time.process_time() - 1
    assert found["digits_worker_resident_memory_bytes", ""] > 1_000_000


def test_the_processor_time_of_workers_never_falls_when_one_has_ended() -> None:
    workers = Workers({os.getpid()})
    processes = WorkerProcesses(workers)
    spent_s = processes.cpu_s()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    workers.pids = {ended.pid}
    assert processes.cpu_s() >= spent_s > 0
    assert processes.resident_bytes() == 0


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.records.inc()
    assert samples(one)["digits_records_total", ""] == 1
    assert samples(other)["digits_records_total", ""] == 0


def test_every_series_is_there_before_its_first_count(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["digits_items_total", "failed"] == 0
    assert {code for name, code in found if name == "digits_failures_total"} == set(ErrorCode)
    assert found["digits_worker_restarts_total", "worker-crashed"] == 0
    assert found["digits_transactions_total", "lost"] == 0
    assert found["digits_published_bytes_total", "dead-letter"] == 0


def test_pictures_of_a_challenge_are_counted_by_both_answers(metrics: Metrics) -> None:
    models = (ModelInfo("digits", "1", "1" * 64), ModelInfo("digits", "2", "2" * 64))
    pairs = [Compared("7", "7", 5), Compared("7", "1", 2), Compared("unsure", "failed", 1)]
    metrics.challenged(Challenged(pairs, 6.5, 5.5, 0.25, {"load": 4}), *models)
    metrics.disagreement_ended("dropped", 2)
    found = samples(metrics)
    text = metrics.exposition().decode()
    for labels in (
        'challenger="7",champion="7",verdict="agree"} 5.0',
        'challenger="1",champion="7",verdict="differ"} 2.0',
        'challenger="failed",champion="unsure",verdict="failed"} 1.0',
    ):
        assert f"digits_challenger_compared_total{{{labels}" in text
    assert found["digits_challenger_confidence_total", "champion"] == 6.5
    assert found["digits_challenger_confidence_total", "challenger"] == 5.5
    assert found["digits_challenger_seconds_total", ""] == 0.25
    assert (found["digits_challenger_skipped_total", "load"], found["digits_disagreements_total", "dropped"]) == (4, 2)


def test_pairs_of_answers_are_shown_from_the_start_only_with_a_challenger(metrics: Metrics) -> None:
    assert "digits_challenger_compared_total{" not in metrics.exposition().decode()
    metrics.begin_challenge()
    assert metrics.exposition().decode().count("digits_challenger_compared_total{") == 11 * 12
