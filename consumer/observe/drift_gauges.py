"""The gauges of drift in ``/metrics``, and what ``/health`` says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily

from consumer.observe.drift import Drift, Window
from engine.model.reference import UNSURE, shares

ALL = ""
"""The label `sender` of all senders together: Prometheus takes an empty label for a missing one."""


def families(drift: Drift) -> Iterator[Metric]:
    """Yield the gauges, as far as there are enough readings."""
    index = GaugeMetricFamily(
        "digits_drift_psi",
        "Population stability index of the last readings against the model's reference; 0: as expected.",
        labels=["of", "sender"],
    )
    readings = GaugeMetricFamily(
        "digits_drift_readings", "Readings that are compared, by their weight.", labels=["sender"]
    )
    share = GaugeMetricFamily(
        "digits_drift_share",
        "Share of a bin among the last readings of all senders, and in the model's reference.",
        labels=["of", "bin", "among"],
    )
    for sender, window in _windows(drift):
        readings.add_metric([sender], window.readings)
        for name, value in drift.indices(window).items():
            index.add_metric([name, sender], value)
    if drift.reference is not None and drift.all is not None and drift.indices(drift.all):
        for name, place in drift.reference.bins.items():
            for among, counts in (("readings", drift.all.counts[place]), ("reference", drift.reference.counts[name])):
                for number, value in enumerate(shares(counts)):
                    share.add_metric([name, _bin(name, number), among], value)
    yield from (index, readings, share)


def report(drift: Drift | None) -> dict[str, Any] | None:
    """Return how many readings of all senders are compared, and their indices; None without a reference."""
    if drift is None or drift.all is None:
        return None
    indices = drift.indices(drift.all)
    return {"readings": round(drift.all.readings), **{name: round(value, 4) for name, value in indices.items()}}


def _windows(drift: Drift) -> Sequence[tuple[str, Window]]:
    return [] if drift.all is None else [(ALL, drift.all), *drift.senders.items()]


def _bin(name: str, number: int) -> str:
    """Name a bin: a digit, or the tenth, counted from 1."""
    if name != "digits":
        return str(number + 1)
    return "unsure" if number == UNSURE else str(number)
