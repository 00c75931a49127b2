"""What the service counts: the families behind ``/metrics``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from consumer.observe.processes import WorkerProcesses
from consumer.workers.protocol import Answer, Timings
from contract.errors import ErrorCode
from contract.records import Status
from engine.model.files import ModelInfo
from release import revision, version

NOT_STARTED: Final = "not-started"
"""Why a worker was replaced, beside the error codes of those that died: it ended before it was ready."""
PUBLISHED: Final = ("predictions", "dead-letter")
"""Where bytes go: labels that stay the same whatever the topics are called."""
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
AGE_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
"""Up to a day: requests wait in the topic while no instance runs."""


class Metrics:
    """All families, in a registry of their own. Owner: the service; everyone may count."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.records = Counter("digits_records", "Request records answered and committed.", registry=registry)
        self.record_bytes = Counter("digits_record_bytes", "Bytes of request values committed.", registry=registry)
        self.items = Counter("digits_items", "Images answered and committed.", ["status"], registry=registry)
        self.failures = Counter("digits_failures", "Failed images, by error code.", ["code"], registry=registry)
        self.transactions = Counter(
            "digits_transactions", "Transactions, by how they ended.", ["end"], registry=registry
        )
        self.lanes_lost = Counter("digits_lanes_lost", "Lanes that ended and had to start again.", registry=registry)
        self.rebalances = Counter("digits_rebalances", "Assignments received from the group.", registry=registry)
        self.pool_restarts = Counter(
            "digits_pool_restarts", "Worker processes replaced, by why the last one ended.", ["why"], registry=registry
        )
        self.stage = Histogram(
            "digits_stage_seconds",
            "Time of a batch in a stage: wait (for room in hand), classify (with waiting for a worker; in it read and "
            "encode), commit.",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.latency = Histogram(
            "digits_latency_seconds",
            "From fetching a record to its committed results.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.request_age = Histogram(
            "digits_request_age_seconds",
            "From a request's own timestamp, by its sender's clock or the broker's, to its committed results.",
            buckets=AGE_BUCKETS_S,
            registry=registry,
        )
        self.fetched_bytes = Counter(
            "digits_fetched_bytes",
            "Bytes of keys and values fetched, also those fetched again.",
            registry=registry,
        )
        self.published_bytes = Counter(
            "digits_published_bytes", "Bytes of keys and values published and committed.", ["topic"], registry=registry
        )
        self.in_flight_bytes = Gauge("digits_in_flight_bytes", "Bytes of records in hand.", registry=registry)
        self.records_in_flight = Gauge("digits_records_in_flight", "Records fetched, unanswered.", registry=registry)
        self.lag = Gauge(
            "digits_lag_records", "Offsets between committed and log end.", ["partition"], registry=registry
        )
        self.readable = Gauge(
            "digits_readable_records",
            "Records fetched, unanswered, and offsets behind them that may be read.",
            ["partition"],
            registry=registry,
        )
        self.undecided = Gauge(
            "digits_undecided_records",
            "Offsets from the first open transaction of a sender to the log's end: nobody may read them yet.",
            ["partition"],
            registry=registry,
        )
        self.stable_offset = Gauge(
            "digits_stable_offset",
            "Where what may be read ends: at the first open transaction of a sender, or at the log's end.",
            ["partition"],
            registry=registry,
        )
        self.oldest_age = Gauge(
            "digits_oldest_request_age_seconds",
            "Time since the oldest unanswered record in hand was produced, as its timestamp says; 0 if there is none.",
            ["partition"],
            registry=registry,
        )
        self.committed_offset = Gauge(
            "digits_committed_offset",
            "Where the next owner of a partition would start.",
            ["partition"],
            registry=registry,
        )
        self.parked = Gauge(
            "digits_parked",
            "1 if a partition is left alone, since the log does not have its committed offset.",
            ["partition"],
            registry=registry,
        )
        self.assigned = Gauge("digits_assigned_partitions", "Partitions that the group gave us.", registry=registry)
        self.workers = Gauge("digits_workers", "Worker processes running.", registry=registry)
        self.ready = Gauge("digits_ready", "1 if /readyz says so.", registry=registry)
        self.stuck = Gauge("digits_stuck_lanes", "Lanes that do not move: /livez fails.", registry=registry)
        self.traces = Counter(
            "digits_traces",
            "Records whose sender sampled them: recorded, or over the limit.",
            ["end"],
            registry=registry,
        )
        self._model = Info("digits_model", "The model that the workers serve.", registry=registry)
        build = Info("digits_build", "The release that runs: version and git revision.", registry=registry)
        build.info({"version": version(), "revision": revision()})
        ProcessCollector(registry=registry)  # of the service's own process; its workers are not in it
        self.processes = WorkerProcesses()
        registry.register(self.processes)
        self._begin_at_zero()

    def observe_worker(self, timings: Timings) -> None:
        """Count what a worker measured."""
        self.stage.labels("read").observe(timings.read_s)
        self.stage.labels("encode").observe(timings.encode_s)

    def committed(self, answers: list[Answer]) -> None:
        """Count what a transaction has made public."""
        recognised = unsure = failed = 0
        for answer in answers:
            recognised += answer.recognised
            unsure += answer.unsure
            failed += len(answer.dead_letters)
            for letter in answer.dead_letters:
                self.failures.labels(letter.code).inc()
        for status, count in (("recognised", recognised), ("unsure", unsure), ("failed", failed)):
            if count:
                self.items.labels(status).inc(count)

    def aged(self, timestamp_ms: int, committed_at_ms: int) -> None:
        """Observe how old a request was at its commit. One a transaction: each costs 3 to 6 µs, a record in all 52."""
        if timestamp_ms >= 0:  # -1: its sender gave no time
            # The clock that gave it may be ahead of ours: the histogram takes no time below zero.
            self.request_age.observe(max(0, committed_at_ms - timestamp_ms) / 1000)

    def serving(self, model: ModelInfo) -> None:
        """Say which model every worker serves."""
        self._model.info(asdict(model))

    def exposition(self) -> bytes:
        """Return all families in Prometheus' text format."""
        return generate_latest(self._registry)

    def _begin_at_zero(self) -> None:
        """Show every series from the start: a counter that comes into being at 1 has not risen for Prometheus."""
        for family, values in (
            (self.items, list(Status)),
            (self.failures, list(ErrorCode)),
            (self.transactions, ["committed", "lost"]),
            (self.pool_restarts, [ErrorCode.WORKER_CRASHED, ErrorCode.WORKER_TIMEOUT, NOT_STARTED]),
            (self.published_bytes, PUBLISHED),
            (self.traces, ["recorded", "over-limit"]),
            (self.stage, ["wait", "classify", "read", "encode", "commit"]),
        ):
            for value in values:
                family.labels(str(value))
