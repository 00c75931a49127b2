"""The gauges of ``/metrics``: read from the service's state when Prometheus asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final, NamedTuple

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from consumer.observe import drift_gauges
from consumer.observe.health import Health, lag
from consumer.observe.views import LaneView


class _LaneGauge(NamedTuple):
    name: str
    help: str
    read: Callable[[LaneView], float | None]
    """Returns None if the value is not known: then the partition has no sample."""


def _stable_offset(lane: LaneView) -> int | None:
    return None if lane.ends is None else lane.ends.stable


def _readable(lane: LaneView) -> int | None:
    return None if _stable_offset(lane) is None else lane.readable_records


def _undecided(lane: LaneView) -> int | None:
    ends = lane.ends
    return None if ends is None or ends.stable is None or ends.end is None else max(0, ends.end - ends.stable)


def _oldest_age_s(lane: LaneView) -> float:
    return 0.0 if lane.oldest_at_ms is None else max(0.0, time.time() - lane.oldest_at_ms / 1000)


_OF_LANES: Final = (
    _LaneGauge("digits_lag_records", "Offsets between committed and log end.", lag),
    _LaneGauge(
        "digits_readable_records",
        "Records in flight, and offsets after them that may be read.",
        _readable,
    ),
    _LaneGauge(
        "digits_undecided_records",
        "Offsets from the first open transaction of a sender to the log's end: they cannot be read yet.",
        _undecided,
    ),
    _LaneGauge(
        "digits_stable_offset",
        "Where what may be read ends: at the first open transaction of a sender, or at the log's end.",
        _stable_offset,
    ),
    _LaneGauge(
        "digits_oldest_request_age_seconds",
        "Time since the oldest record in flight was produced, as its timestamp says; 0 if there is none.",
        _oldest_age_s,
    ),
    _LaneGauge(
        "digits_committed_offset",
        "Where the next owner of a partition would start.",
        lambda lane: lane.committed_offset,
    ),
    _LaneGauge(
        "digits_parked",
        "1 if a partition is not read, since the log does not have its committed offset.",
        lambda lane: lane.parked is not None,
    ),
)


class StateCollector(Collector):
    """Yields the gauges at each scrape. It has no state."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Read the state."""
        health = self._health
        lanes = health.lanes
        yield InfoMetricFamily("digits_model", "The model that the workers serve.", asdict(health.workers.model))
        if (challenger := health.workers.challenger) is not None:
            meaning = "The model that reads a share of the pictures again."
            yield InfoMetricFamily("digits_challenger", meaning, asdict(challenger))
        for name, meaning, value in (
            ("digits_ready", "1 if /readyz says so.", not health.not_ready()),
            ("digits_stuck_lanes", "Lanes without progress: /livez fails.", len(health.stuck())),
            ("digits_workers", "Worker processes running.", health.workers.running),
            (
                "digits_model_refused",
                "1 if the location of the model has one that was refused here.",
                health.refused_model is not None,
            ),
            (
                "digits_challenger_left_out",
                "1 if a challenger is set, and the service runs without it.",
                bool(health.workers.challenger_problem),
            ),
            ("digits_assigned_partitions", "Partitions that the group has assigned to this instance.", len(lanes)),
            (
                "digits_records_in_flight",
                "Records fetched and not yet committed.",
                sum(lane.records_in_flight for lane in lanes),
            ),
            ("digits_in_flight_bytes", "Bytes of records in flight.", sum(lane.bytes_in_flight for lane in lanes)),
        ):
            yield GaugeMetricFamily(name, meaning, value)
        for gauge in _OF_LANES:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=["partition"])
            for lane in lanes:
                if (known := gauge.read(lane)) is not None:
                    family.add_metric([lane.name], known)
            yield family
        if health.drift is not None:
            yield from drift_gauges.families(health.drift)
