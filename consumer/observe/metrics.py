"""What the service counts: the counters and histograms of ``/metrics``. Gauges: `consumer.observe.gauges`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest

from consumer.partitions.observers import LaneObserver, Publication
from consumer.workers.challenge.report import FAILED, LABELS, Challenged
from consumer.workers.observers import CHALLENGER, NOT_STARTED, WorkerObserver
from consumer.workers.processes.deaths import Suspect
from consumer.workers.tasks import Part, Timings
from contract.errors import ErrorCode
from contract.records import Status
from engine.model.files import ModelInfo
from release import revision, version

PUBLISHED: Final = ("predictions", "dead-letter")
"""Where bytes go: labels that stay the same whatever the topics are called."""
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
AGE_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
"""Up to a day: requests wait in the topic while no instance runs."""


class Metrics(LaneObserver, WorkerObserver):
    """Counts the events of lanes and workers, in a registry of its own. Owner: the service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.records = Counter("digits_records", "Request records answered and committed.", registry=registry)
        self.record_bytes = Counter("digits_record_bytes", "Bytes of request values committed.", registry=registry)
        self.items = Counter("digits_items", "Images answered and committed.", ["status"], registry=registry)
        self.failures = Counter("digits_failures", "Failed images, by error code.", ["code"], registry=registry)
        self.transactions = Counter(
            "digits_transactions", "Transactions, by how they ended.", ["end"], registry=registry
        )
        self.lanes_lost = Counter("digits_lanes_lost", "Lanes that ended and had to start again.", registry=registry)
        self.rebalances = Counter("digits_rebalances", "Assignments received from the group.", registry=registry)
        self.worker_restarts = Counter(
            "digits_worker_restarts", "Worker processes replaced, by why they ended.", ["why"], registry=registry
        )
        self.model_exchanges = Counter(
            "digits_model_exchanges", "Other models that were tried, by how that ended.", ["end"], registry=registry
        )
        self.compared = Counter(
            "digits_challenger_compared",
            "Pictures that the challenger has read, by the answers of both models: a digit, unsure, or failed.",
            ["verdict", "champion", "challenger"],
            registry=registry,
        )
        self.confidence = Counter(
            "digits_challenger_confidence",
            "Sum of the confidences, by model, over the pictures that both have answered.",
            ["model"],
            registry=registry,
        )
        self.challenger_seconds = Counter(
            "digits_challenger_seconds", "Time in which workers have read with the challenger.", registry=registry
        )
        self.challenger_skipped = Counter(
            "digits_challenger_skipped",
            "Pictures of the challenger's share that it has not read: load, another batch had come; size, they were "
            "too large.",
            ["why"],
            registry=registry,
        )
        self.disagreements = Counter(
            "digits_disagreements", "Disagreements for their topic, by how that ended.", ["end"], registry=registry
        )
        self.stage = Histogram(
            "digits_stage_seconds",
            "Time of a batch in a stage: wait (for room in the in-flight window), classify (with waiting for a worker; "
            "read and encode are parts of it), commit.",
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
            "Bytes of record batches fetched, also those fetched again.",
            registry=registry,
        )
        self.published_bytes = Counter(
            "digits_published_bytes", "Bytes of keys and values published and committed.", ["topic"], registry=registry
        )
        self.traces = Counter(
            "digits_traces",
            "Records whose sender sampled them: recorded, or over the limit.",
            ["end"],
            registry=registry,
        )
        build = Info("digits_build", "The release that runs: version and git revision.", registry=registry)
        build.info({"version": version(), "revision": revision()})
        ProcessCollector(registry=registry)  # of the service's own process; its workers are not in it
        self._begin_at_zero()

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Count an assignment."""
        del partitions
        self.rebalances.inc()

    def fetched(self, size_bytes: int) -> None:
        """Count fetched bytes."""
        self.fetched_bytes.inc(size_bytes)

    def admitted(self, waited_s: float) -> None:
        """Observe how long a chunk waited for room."""
        self.stage.labels("wait").observe(waited_s)

    def classified(self, took_s: float) -> None:
        """Observe how long the workers took, waiting for one included."""
        self.stage.labels("classify").observe(took_s)

    def committed(self, publication: Publication) -> None:
        """Count what a lane has made public.

        Latency and age are observed once a publication, of its oldest record: an observation costs 3 to 6 µs.
        """
        parts = [ready.part for ready in publication.parts]
        records = sum(part.records for part in parts)
        if not records:
            return
        self.records.inc(records)
        self.record_bytes.inc(sum(part.record_bytes for part in parts))
        self._count_items(parts)
        oldest = next(ready for ready in publication.parts if ready.part.records)
        self.latency.observe(publication.committed_s - oldest.fetched_s)
        self._observe_age(oldest.part.oldest_at_ms, publication.committed_at_ms)
        published = (sum(part.results_bytes for part in parts), sum(part.dead_letters_bytes for part in parts))
        for label, size_bytes in zip(PUBLISHED, published, strict=True):
            self.published_bytes.labels(label).inc(size_bytes)

    def transaction_committed(self, took_s: float) -> None:
        """Count a committed transaction, and observe how long it took."""
        self.stage.labels("commit").observe(took_s)
        self.transactions.labels("committed").inc()

    def transaction_lost(self) -> None:
        """Count a transaction that failed, or whose outcome is unknown."""
        self.transactions.labels("lost").inc()

    def lane_lost(self) -> None:
        """Count a lane that lost its partition."""
        self.lanes_lost.inc()

    def batch_answered(self, timings: Timings) -> None:
        """Observe what a worker measured."""
        self.stage.labels("read").observe(timings.read_s)
        self.stage.labels("encode").observe(timings.encode_s)

    def worker_replaced(self, why: str, suspect: Suspect | None = None) -> None:
        """Count a worker that a fresh one replaces."""
        del suspect  # a series for each offset would be too many
        self.worker_restarts.labels(why).inc()

    def model_tried(self, end: str) -> None:
        """Count an attempt to exchange the model."""
        self.model_exchanges.labels(end).inc()

    def challenged(self, report: Challenged, champion: ModelInfo, challenger: ModelInfo) -> None:
        """Count what a worker has read with the challenger."""
        del champion, challenger
        for pair in report.compared:
            labels = verdict(pair.champion, pair.challenger), pair.champion, pair.challenger
            self.compared.labels(*labels).inc(pair.count)
        self.confidence.labels("champion").inc(report.champion_confidence)
        self.confidence.labels("challenger").inc(report.challenger_confidence)
        self.challenger_seconds.inc(report.seconds)
        for why, count in report.skipped.items():
            self.challenger_skipped.labels(why).inc(count)

    def begin_challenge(self) -> None:
        """Show every pair of answers from the start, as `_begin_at_zero`; without a challenger they would be many."""
        for champion in LABELS:
            for label in (*LABELS, FAILED):
                self.compared.labels(verdict(champion, label), champion, label)

    def disagreement_ended(self, end: str, count: int = 1) -> None:
        """Count disagreements that were published or dropped."""
        self.disagreements.labels(end).inc(count)

    def exposition(self) -> bytes:
        """Return all families in Prometheus' text format."""
        return generate_latest(self.registry)

    def _count_items(self, parts: Sequence[Part]) -> None:
        failed = 0
        for part in parts:
            for code, count in part.failures.items():
                failed += count
                self.failures.labels(code).inc(count)
        recognised, unsure = sum(part.recognised for part in parts), sum(part.unsure for part in parts)
        for status, count in (("recognised", recognised), ("unsure", unsure), ("failed", failed)):
            if count:
                self.items.labels(status).inc(count)

    def _observe_age(self, timestamp_ms: int, committed_at_ms: int) -> None:
        if timestamp_ms >= 0:  # -1: the sender gave no time
            # The sender's clock may be ahead of ours: a histogram takes no time below zero.
            self.request_age.observe(max(0, committed_at_ms - timestamp_ms) / 1000)

    def _begin_at_zero(self) -> None:
        """Show every series from the start: a counter that comes into being at 1 has not risen for Prometheus."""
        for family, values in (
            (self.items, list(Status)),
            (self.failures, list(ErrorCode)),
            (self.transactions, ["committed", "lost"]),
            (self.worker_restarts, [ErrorCode.WORKER_CRASHED, ErrorCode.WORKER_TIMEOUT, NOT_STARTED, CHALLENGER]),
            (self.model_exchanges, ["moved", "refused", "put-off", "returned"]),
            (self.confidence, ["champion", "challenger"]),
            (self.challenger_skipped, ["load", "size"]),
            (self.disagreements, ["published", "dropped"]),
            (self.published_bytes, PUBLISHED),
            (self.traces, ["recorded", "over-limit"]),
            (self.stage, ["wait", "classify", "read", "encode", "commit"]),
        ):
            for value in values:
                family.labels(str(value))


def verdict(champion: str, challenger: str) -> str:
    """Return how two answers compare: agree, differ, or failed if the challenger has none."""
    if challenger == FAILED:
        return FAILED
    return "agree" if champion == challenger else "differ"
